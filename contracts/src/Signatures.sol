// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IMarketBase} from "./interfaces/IMarketBase.sol";
import {Messages} from "./libraries/Messages.sol";

/// @title Signatures: what is signed is bound to this chain and this market (P8)
abstract contract Signatures is IMarketBase {
    bytes32 private constant _DOMAIN_TYPEHASH =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    string internal constant _NAME = "Heldout";
    string internal constant _VERSION = "1";

    /// @dev A job's id is the digest of its terms (P2.1).
    function _idOf(JobTerms calldata terms) internal view returns (bytes32) {
        return _typed(Messages.hash(terms));
    }

    /// @dev The EIP-712 digest. The domain is made anew each time, 250 gas: after a fork it is the fork's own, and both halves
    /// of the code have Market's.
    function _typed(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                _DOMAIN_TYPEHASH, keccak256(bytes(_NAME)), keccak256(bytes(_VERSION)), block.chainid, address(this)
            )
        );
        return MessageHashUtils.toTypedDataHash(domain, structHash);
    }

    /// @dev Who sends the call has signed all of it. Others by key, else by code (ERC-1271). Keys come first: looking for code
    /// at an address costs 2,600 gas.
    function _requireSigned(address signer, bytes32 structHash, bytes calldata signature) internal view {
        if (signer == msg.sender) return;
        bytes32 digest = _typed(structHash);
        (address recovered, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && recovered == signer) return;
        if (!SignatureChecker.isValidERC1271SignatureNowCalldata(signer, digest, signature)) {
            revert BadSignature(signer);
        }
    }
}
