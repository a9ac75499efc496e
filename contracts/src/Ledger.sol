// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {IMarketBase} from "./interfaces/IMarketBase.sol";

/// @title The ledger: whose money is where (P1.3)
/// @dev `token.balanceOf(market) == sum(free) + locked + burned` after every call (P1.4).
abstract contract Ledger is IMarketBase {
    using SafeCast for uint256;

    mapping(address account => uint256) internal _free;

    // These two share one slot with the seat counts that Seats declares first: a job's life reads and writes it often.
    uint96 internal _locked;
    uint96 internal _burned;

    function _debit(address account, uint256 amount) internal {
        uint256 available = _free[account];
        if (available < amount) revert InsufficientFree(account, available, amount);
        unchecked {
            _free[account] = available - amount;
        }
    }

    /// @dev From an account's free balance into a job or a seat.
    function _lock(address account, uint256 amount) internal {
        _debit(account, amount);
        _locked += amount.toUint96();
    }

    /// @dev Half of a movement out of jobs and seats: the other half is `_unlock`, once for many credits.
    function _credit(address account, uint256 amount) internal {
        _free[account] += amount;
    }

    /// @dev `burn` of the amount goes to nobody; the rest has been credited.
    function _unlock(uint256 amount, uint256 burn) internal {
        _locked -= amount.toUint96();
        if (burn != 0) _burned += burn.toUint96();
    }
}
