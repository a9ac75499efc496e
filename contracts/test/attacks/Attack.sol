// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "../Base.t.sol";

/// @notice A replay of one row of docs/threats.md: the attempt, and what it cost the attacker. tests/attacks lists them.
abstract contract Attack is Base {
    function _cost(string memory of_, uint256 before, uint256 after_) internal {
        emit log_named_decimal_uint(string.concat("cost of ", of_), before - after_, 18);
    }

    /// @dev What an attempt cost that changed nobody's balance.
    function _costOfGasAlone(string memory of_) internal {
        emit log_named_string(string.concat("cost of ", of_), "gas alone; refused");
    }

    function _tries(address who, bytes memory call_) internal returns (bool isTaken) {
        vm.prank(who);
        (isTaken,) = address(market).call(call_);
    }

    /// @dev What is left of a seat's stake.
    function _stakeOf(uint32 seat) internal view returns (uint256) {
        return market.getSeat(seat).stake;
    }
}
