// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IMarketBase} from "./interfaces/IMarketBase.sol";
import {Messages} from "./libraries/Messages.sol";

/// @title Signatures: what is signed is bound to this chain and this market (P8)
abstract contract Signatures is EIP712, IMarketBase {
    /// @dev A job's id is the digest of its terms (P2.1).
    function _idOf(JobTerms calldata terms) internal view returns (bytes32) {
        return _hashTypedDataV4(Messages.hash(terms));
    }

    /// @dev By key, else by code (ERC-1271). Keys come first: looking for code at an address costs 2,600 gas.
    function _requireSigned(address signer, bytes32 structHash, bytes calldata signature) internal view {
        bytes32 digest = _hashTypedDataV4(structHash);
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == signer) return;
        if (!SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature)) {
            revert BadSignature(signer);
        }
    }
}
