// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice P3.3 to P3.6, P5.4: who is paid what, to the unit.
contract SettleTest is Base {
    bytes32 private constant BAD_WORD = bytes32(uint256(Votes.BAD));

    function test_settle_belowFloor_paysNothingAndTakesFeesFromCollateral() public {
        JobTerms memory terms = _terms();
        (uint256 r, uint256 p) = (market.free(requester), market.free(providers[0]));
        bytes32 id = _scored(terms, _vote(799_999));
        _settle(terms);
        assertEq(market.free(providers[0]), p - 3 * FEE);
        assertEq(market.free(requester), r, "fees went out, and came back from the collateral");
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Measured));
    }

    function test_settle_atFloor_paysFloorPay() public {
        JobTerms memory terms = _terms();
        uint256 p = market.free(providers[0]);
        _scored(terms, _vote(800_000));
        _settle(terms);
        assertEq(market.free(providers[0]), p + PRICE / 2);
    }

    function test_settle_lowerIsBetter_paysAllAtTarget() public {
        JobTerms memory terms = _terms();
        (terms.floor, terms.target) = (500_000, 100_000);
        uint256 p = market.free(providers[0]);
        _scored(terms, _vote(50_000));
        _settle(terms);
        assertEq(market.free(providers[0]), p + PRICE);
    }

    function test_settle_bad_forfeitsAllCollateral() public {
        JobTerms memory terms = _terms();
        (uint256 r, uint256 p) = (market.free(requester), market.free(providers[0]));
        _scored(terms, BAD_WORD);
        _settle(terms);
        assertEq(market.free(providers[0]), p - terms.collateral);
        assertEq(market.free(requester), r + terms.collateral - 3 * FEE);
    }

    function test_settle_royalties_comeOutOfThePayoutRoundedDown() public {
        JobTerms memory terms = _terms();
        terms.parents = new Parent[](2);
        terms.parents[0] = Parent(keccak256("a"), makeAddr("a"), 333);
        terms.parents[1] = Parent(keccak256("b"), makeAddr("b"), 1667);
        uint256 p = market.free(providers[0]);
        _scored(terms, _vote(950_000));
        _settle(terms);
        uint256 a = uint256(PRICE) * 333 / 10_000;
        uint256 b = uint256(PRICE) * 1667 / 10_000;
        assertEq(market.free(makeAddr("a")), a);
        assertEq(market.free(makeAddr("b")), b);
        assertEq(market.free(providers[0]), p + PRICE - a - b);
    }

    /// @notice P7.1: up to the greatest score there is, a committee measured it.
    function test_settle_paidLane_emitsItsEndAndAnArtifact() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(Votes.MAX_SCORE));
        skip(terms.challengeWindow);
        vm.expectEmit(address(market));
        emit LaneSettled(id, 0, providers[0], Votes.MAX_SCORE, PRICE);
        vm.expectEmit(address(market));
        emit Artifact(
            keccak256(abi.encode(id, uint8(0))),
            id,
            providers[0],
            requester,
            0,
            WORD,
            terms.taskHash,
            terms.dataRoot,
            Votes.MAX_SCORE,
            true
        );
        market.settle(terms);
    }

    function test_settle_eightLanes_settlesEachByItsOwnScore() public {
        JobTerms memory terms = _termsOf(8);
        terms.committee = 7;
        // P2.2 wants 8 n live seats and V <= S (n+1) / 4.
        _moreSeats(32);
        bytes32 vote;
        for (uint256 i; i < 8; ++i) {
            vote = Votes.withLane(vote, i, uint32(780_000 + i * 25_000));
        }
        uint256 before = market.free(requester);
        bytes32 id = _scored(terms, vote);
        _settle(terms);
        uint256 paid;
        for (uint256 i; i < 8; ++i) {
            uint256 gain = i == 0 ? 0 : _min(780_000 + i * 25_000, 950_000) - 800_000;
            uint256 payout = i == 0 ? 0 : uint256(PRICE) * (75_000 + gain / 2) / 150_000;
            paid += payout;
            uint256 forfeit = i == 0 ? 7 * uint256(FEE) / 8 : 0;
            assertApproxEqAbs(market.free(providers[i]), 10_000e18 + payout - forfeit, 1);
        }
        assertApproxEqAbs(market.free(requester), before - paid - 7 * FEE + 7 * FEE / 8, 8);
        assertEq(market.getJob(id).result, vote);
        assertEq(_held(id), 0);
    }

    function test_settle_ignoresUnusedLanes() public {
        JobTerms memory terms = _terms();
        bytes32 noise = bytes32(type(uint256).max << 32);
        bytes32 id = _drawn(terms);
        for (uint256 i; i < 3; ++i) {
            _commit(id, i, _vote(900_000) | (i == 0 ? noise : bytes32(0)));
        }
        for (uint256 i; i < 3; ++i) {
            _reveal(id, i, _vote(900_000) | (i == 0 ? noise : bytes32(0)));
        }
        assertEq(market.getJob(id).result, _vote(900_000));
        uint256 cold = market.free(market.getSeat(_seat(id, 0)).cold);
        _settle(terms);
        assertGt(market.free(market.getSeat(_seat(id, 0)).cold), cold, "noise above the used lanes costs no fee");
    }

    function test_settle_minorityVote_losesItsFeeOnly() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        uint256 r = market.free(requester);
        _commit(id, 0, _vote(900_000));
        _commit(id, 1, _vote(900_000));
        _commit(id, 2, _vote(900_001));
        _reveal(id, 0, _vote(900_000));
        _reveal(id, 1, _vote(900_000));
        _reveal(id, 2, _vote(900_001));
        uint32 dissenter = _seat(id, 2);
        _settle(terms);
        assertEq(market.getSeat(dissenter).stake, STAKE, "a round slashes nobody for being different (P5.4)");
        uint256 payout = uint256(PRICE) * (75_000 + 50_000) / 150_000;
        assertEq(
            market.free(requester), r + 100e18 - 10e18 - payout + 30e18 + FEE, "the withheld fee is the requester's"
        );
    }

    function test_settle_silentSeats_pay4fAbsent8fUnrevealed() public {
        JobTerms memory terms = _terms();
        terms.committee = 5;
        _moreSeats(16);
        bytes32 id = _drawn(terms);
        for (uint256 i; i < 4; ++i) {
            _commit(id, i, _vote(900_000));
        }
        skip(terms.commitWindow);
        for (uint256 i; i < 3; ++i) {
            _reveal(id, i, _vote(900_000));
        }
        skip(terms.revealWindow);
        market.close(id);
        assertEq(uint8(_state(id)), uint8(State.Scored));
        (uint32 unrevealed, uint32 absent) = (_seat(id, 3), _seat(id, 4));
        _settle(terms);
        assertEq(market.getSeat(unrevealed).stake, STAKE - 8 * FEE);
        assertEq(market.getSeat(absent).stake, STAKE - 4 * FEE);
        assertEq(market.burned(), 12 * FEE, "slashes that nobody needs are burned");
    }

    function test_settle_twice_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(900_000));
        _settle(terms);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Settled));
        market.settle(terms);
    }

    function test_settle_oneSecondEarly_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(900_000));
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(TooEarly.selector, deadline - 1, deadline));
        market.settle(terms);
        vm.warp(deadline);
        market.settle(terms);
    }

    function test_settle_alteredTerms_areAnotherJob() public {
        JobTerms memory terms = _terms();
        _scored(terms, _vote(900_000));
        skip(terms.challengeWindow);
        terms.target = 850_000;
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, market.hashTerms(terms), State.None));
        market.settle(terms);
    }

    function testFuzz_settle_conservesEveryUnit(uint32 score, uint96 price, uint32 floorPay, uint16 bps) public {
        JobTerms memory terms = _terms();
        terms.floorPay = uint32(bound(floorPay, 0, 1e6));
        terms.parents = new Parent[](1);
        terms.parents[0] = Parent(0, makeAddr("parent"), uint16(bound(bps, 0, 2000)));
        price = uint96(bound(price, 0, terms.priceCap));
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, price);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        _submit(id, 0, WORD);
        _pin(id);
        bytes32 vote = _vote(uint32(bound(score, 0, Votes.BAD)));
        _commitAll(id, vote);
        _revealAll(id, vote);
        _settle(terms);
        assertEq(_held(id), 0);
        assertEq(_locked(), 24 * uint256(STAKE));
        assertEq(token.balanceOf(address(market)), _allFree() + _locked() + market.burned());
    }

    function _allFree() private returns (uint256 sum) {
        sum = market.free(requester) + market.free(makeAddr("parent"));
        for (uint256 i; i < 8; ++i) {
            sum += market.free(providers[i]) + market.free(_owner(i));
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
