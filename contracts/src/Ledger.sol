// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "./interfaces/IMarketBase.sol";

/// @title The ledger: whose money is where (P1.3)
/// @dev `token.balanceOf(market) == sum(free) + what jobs hold + what seats hold + burned` after every call (P1.4). What jobs
/// hold is not summed up in storage: it would cost 8,000 gas a job, and `heldFor` tells it of each.
abstract contract Ledger is IMarketBase {
    mapping(address account => uint256) internal _free;

    uint256 internal _burned;

    /// @dev From a free balance into a job or a seat.
    function _debit(address account, uint256 amount) internal {
        uint256 available = _free[account];
        if (available < amount) revert InsufficientFree(account, available, amount);
        unchecked {
            _free[account] = available - amount;
        }
    }

    /// @dev The way back.
    function _credit(address account, uint256 amount) internal {
        _free[account] += amount;
    }
}
