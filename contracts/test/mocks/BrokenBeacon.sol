// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBeacon} from "../../src/interfaces/IBeacon.sol";

/// @notice A beacon that is down for ever.
contract BrokenBeacon is IBeacon {
    error Down();

    function seed(uint256) external pure returns (bytes32) {
        revert Down();
    }
}
