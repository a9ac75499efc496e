// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";

/// @notice P5.1, P5.5: how a seat is taken, changed and left.
contract StakeTest is Base {
    function test_stake_turnsFreeMoneyIntoSeats() public {
        _fund(stranger, 2 * STAKE);
        uint256 lockedBefore = _locked();
        vm.expectEmit(address(market));
        emit Staked(25, stranger, requester, WORD);
        vm.prank(stranger);
        assertEq(market.stake(2, requester, WORD), 24);
        assertEq(market.free(stranger), 0);
        assertEq(_locked(), lockedBefore + 2 * STAKE);
        assertEq(market.seatCount(), 26);
        assertEq(market.liveSeats(), 26);
        Seat memory seat = market.getSeat(25);
        assertEq(seat.hot, requester);
        assertEq(seat.cold, stranger);
        assertEq(seat.stake, STAKE);
        assertEq(seat.activeFrom, vm.getBlockNumber());
    }

    function test_stake_none_poor_orWithoutHotKey_reverts() public {
        vm.startPrank(stranger);
        vm.expectRevert(ZeroAmount.selector);
        market.stake(0, stranger, 0);
        vm.expectRevert(ZeroAddress.selector);
        market.stake(1, address(0), 0);
        vm.expectRevert(abi.encodeWithSelector(InsufficientFree.selector, stranger, 0, STAKE));
        market.stake(1, stranger, 0);
    }

    function test_rotate_byColdOnly() public {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(NotCold.selector, stranger, 0));
        market.rotate(0, stranger, 0);
        vm.startPrank(_owner(0));
        vm.expectRevert(ZeroAddress.selector);
        market.rotate(0, address(0), 0);
        vm.expectEmit(address(market));
        emit Rotated(0, stranger, WORD);
        market.rotate(0, stranger, WORD);
        assertEq(market.getSeat(0).hot, stranger);
    }

    function test_exit_thenUnstake_afterTheDelay_indexIsReused() public {
        address cold = _owner(1);
        uint256 before = market.free(cold);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(NotCold.selector, stranger, 4));
        market.exit(4);
        vm.expectRevert(abi.encodeWithSelector(SeatNotExiting.selector, 4));
        market.unstake(4);
        vm.startPrank(cold);
        market.exit(4);
        vm.expectRevert(abi.encodeWithSelector(SeatNotLive.selector, 4));
        market.exit(4);
        vm.stopPrank();
        assertEq(market.liveSeats(), 23);
        uint256 opensAt = vm.getBlockTimestamp() + market.exitDelay();
        vm.warp(opensAt - 1);
        vm.expectRevert(abi.encodeWithSelector(TooEarly.selector, opensAt - 1, opensAt));
        market.unstake(4);
        vm.warp(opensAt);
        market.unstake(4); // by anyone, to the cold key
        assertEq(market.free(cold), before + STAKE);
        vm.expectRevert(abi.encodeWithSelector(SeatNotExiting.selector, 4));
        market.unstake(4);

        _fund(stranger, 2 * STAKE);
        vm.prank(stranger);
        assertEq(market.stake(2, stranger, 0), 4);
        assertEq(market.getSeat(4).cold, stranger);
        assertEq(market.getSeat(24).cold, stranger);
        assertEq(market.seatCount(), 25);
        assertEq(market.liveSeats(), 25);
    }

    function test_exitDelay_outlastsThreeLongestRounds() public view {
        Limits memory limits = market.limits();
        uint256 asked = uint256(limits.release.greatest);
        // Worst case: a reseed, then every party is asked in turn and answers in its last second.
        uint256 committing = 2 * uint256(limits.commit.greatest) + 9 * (asked + limits.commit.greatest);
        uint256 challenge = uint256(limits.challenge.greatest) + 9 * (asked + limits.challenge.greatest);
        assertGt(market.exitDelay(), 3 * (committing + limits.reveal.greatest + challenge));
    }

    /// @notice P5.5: and not longer than it says, since that is how long stake is held up.
    function test_exitDelay_isOfTheGreatestWindows() public {
        Limits memory limits = _limits();
        (limits.release, limits.commit) = (Window(10, 100), Window(10, 1000));
        (limits.reveal, limits.challenge) = (Window(10, 20_000), Window(10, 300_000));
        uint256 delay = _deployMarket(address(token), STAKE, 0.01e18, address(0), limits).exitDelay();
        assertEq(delay, 3 * (11 * 1100 + 20_000 + 10 * 300_100) + 1);
    }

    function test_slashBelowHalf_seatLeavesByItself() public {
        JobTerms memory terms = _terms();
        (terms.fee, terms.collateral) = (STAKE / 32, 100e18); // 4f = S/8, 8f = S/4
        _moreSeats(8);
        uint32 liveBefore = market.liveSeats();
        bytes32 id = _drawn(terms);
        for (uint256 i; i < 3; ++i) {
            if (i > 0) _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        uint32 left = liveBefore;
        market.settle(terms);
        for (uint32 seat; seat < 32; ++seat) {
            Seat memory stored = market.getSeat(seat);
            bool isOut = stored.stake < STAKE / 2;
            assertEq(stored.exitingAt != 0, isOut);
            if (isOut) --left;
        }
        assertEq(market.liveSeats(), left);
    }

    /// @notice P5.5: three who lied, S/2 each, and were absent when the lie was appealed, 4f each: out. The other four are not.
    function test_slashBelowHalf_ofWhoLied_andWasAbsentThen() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(700_000));
        uint32[] memory liars = market.getRound(id, 1).seats;
        uint256 isLiar = 1 << liars[0] | 1 << liars[1] | 1 << liars[2];
        uint256 honest;
        for (uint32 seat; seat < 24; ++seat) {
            if ((isLiar >> seat) & 1 != 0 || ++honest <= 4) continue;
            vm.prank(market.getSeat(seat).cold);
            market.exit(seat);
        }
        _roll(1);
        vm.prank(providers[0]);
        market.appeal(terms, 0);
        _pin(id);
        for (uint256 place; place < 7; ++place) {
            if ((isLiar >> _seat(id, place)) & 1 == 0) _commit(id, place, _vote(950_000));
        }
        skip(terms.commitWindow);
        for (uint256 place; place < 7; ++place) {
            if ((isLiar >> _seat(id, place)) & 1 == 0) _reveal(id, place, _vote(950_000));
        }
        skip(terms.revealWindow);
        _settle(terms);
        for (uint256 i; i < 3; ++i) {
            assertEq(market.getSeat(liars[i]).stake, STAKE / 2 - 4 * FEE);
            assertNotEq(market.getSeat(liars[i]).exitingAt, 0);
        }
        assertEq(market.liveSeats(), 4);
    }

    function test_slash_passesOverTheNextOwnerOfAnIndex() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        uint32 seat = _seat(id, 0);
        vm.prank(market.getSeat(seat).cold);
        market.exit(seat);
        for (uint256 i; i < 3; ++i) {
            if (i > 0) _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        skip(market.exitDelay());
        market.unstake(seat);
        _fund(stranger, STAKE);
        vm.prank(stranger);
        assertEq(market.stake(1, stranger, 0), seat);
        market.settle(terms);
        assertEq(market.getSeat(seat).stake, STAKE);
        assertEq(market.burned(), (2 + 7 + 15) * 4 * FEE, "what the absent paid, and of who had left nothing");
    }
}
