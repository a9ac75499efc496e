// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {BlocklistToken} from "./mocks/OddTokens.sol";

/// @notice P1.3, P3.4: owners pull; one blocked payee is its own problem only.
contract WithdrawTest is Base {
    function testFuzz_withdraw_movesExactly(uint96 amount) public {
        uint256 before = market.free(requester);
        amount = uint96(bound(amount, 1, before));
        vm.expectEmit(address(market));
        emit Withdrawn(requester, stranger, amount);
        vm.prank(requester);
        market.withdraw(stranger, amount);
        assertEq(market.free(requester), before - amount);
        assertEq(token.balanceOf(stranger), amount);
    }

    function test_withdraw_moreThanFree_reverts() public {
        uint256 available = market.free(requester);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(InsufficientFree.selector, requester, available, available + 1));
        market.withdraw(requester, available + 1);
    }

    function test_withdraw_nothing_orToNobody_reverts() public {
        vm.startPrank(requester);
        vm.expectRevert(ZeroAmount.selector);
        market.withdraw(requester, 0);
        vm.expectRevert(ZeroAddress.selector);
        market.withdraw(address(0), 1);
    }

    function test_withdraw_lockedMoneyStays() public {
        JobTerms memory terms = _terms();
        _post(terms);
        uint256 available = market.free(requester);
        vm.startPrank(requester);
        market.withdraw(requester, available);
        vm.expectRevert(abi.encodeWithSelector(InsufficientFree.selector, requester, 0, 1));
        market.withdraw(requester, 1);
    }

    function test_withdraw_blockedPayee_holdsUpNobodyElse() public {
        BlocklistToken coin = new BlocklistToken();
        IMarket odd = _deployMarket(address(coin), STAKE, 0.01e18, address(0), _limits());
        coin.mint(address(this), 20);
        odd.depositFor(requester, 10);
        odd.depositFor(stranger, 10);
        coin.setBlocked(requester);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(BlocklistToken.Blocked.selector, requester));
        odd.withdraw(requester, 10);
        vm.prank(stranger);
        odd.withdraw(stranger, 10);
        vm.prank(requester);
        odd.withdraw(makeAddr("another address of the requester"), 10);
        assertEq(coin.balanceOf(address(odd)), 0);
    }
}
