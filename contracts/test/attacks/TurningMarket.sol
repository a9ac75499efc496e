// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "../Base.t.sol";
import {TurningToken} from "../mocks/TurningToken.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";

/// @notice Everybody who appears in Base, in a market over a token that may turn.
abstract contract TurningMarket is Base {
    TurningToken internal coin;

    function _marketOver(uint8 decimals, uint96 stake, uint96 fee) internal returns (IMarket, TurningToken) {
        TurningToken made = new TurningToken(decimals);
        return (_deployMarket(address(made), stake, fee, address(0), _limits()), made);
    }

    /// @dev With `each` free, and three seats an owner beside it.
    function _settleIn(uint256 stake, uint256 each) internal {
        _pour(requester, each);
        for (uint256 i; i < 8; ++i) {
            _pour(providers[i], each);
            _pour(_owner(i), each);
            vm.prank(_owner(i));
            market.stake(3, _hot(i), 0);
        }
        assertEq(_locked(), 24 * stake);
        _roll(1);
    }

    function _pour(address account, uint256 amount) internal {
        coin.mint(account, amount);
        vm.prank(account);
        market.deposit(amount);
    }

    function _allFree() internal view returns (uint256 sum) {
        sum = market.free(requester) + market.free(stranger);
        for (uint256 i; i < 8; ++i) {
            sum += market.free(providers[i]) + market.free(_owner(i));
        }
    }
}
