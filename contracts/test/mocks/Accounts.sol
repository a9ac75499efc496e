// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {IBeacon} from "../../src/interfaces/IBeacon.sol";

/// @notice A wallet that signs whatever it approved (ERC-1271).
contract ContractWallet is IERC1271 {
    mapping(bytes32 => bool) public approved;

    function approve(bytes32 digest) external {
        approved[digest] = true;
    }

    function isValidSignature(bytes32 digest, bytes calldata) external view returns (bytes4) {
        return approved[digest] ? IERC1271.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @notice A beacon whose seeds a test sets.
contract FixedBeacon is IBeacon {
    mapping(uint256 => bytes32) public seed;

    function setSeed(uint256 blockNumber, bytes32 value) external {
        seed[blockNumber] = value;
    }
}
