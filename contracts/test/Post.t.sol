// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice P2.2, P2.4, P1.5: what is locked, and every term at its bound and one beyond.
contract PostTest is Base {
    function test_post_locksLanesCapFeesAndBond_andSaysTheTerms() public {
        JobTerms memory terms = _termsOf(2);
        uint256 before = market.free(requester);
        bytes32 id = market.hashTerms(terms);
        vm.expectEmit(address(market));
        emit Posted(id, requester, terms);
        assertEq(_post(terms), id);
        uint256 escrow = 2 * 100e18 + 3 * uint256(FEE) + 60e18;
        assertEq(market.free(requester), before - escrow);
        JobView memory job = market.getJob(id);
        assertEq(_held(id), escrow);
        assertEq(uint8(job.state), uint8(State.Open));
        assertEq(job.deadline, vm.getBlockTimestamp() + terms.bidWindow);
        assertEq(job.lanes, 2);
    }

    function test_post_twice_orForAnother_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(JobExists.selector, id));
        market.post(terms);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(NotRequester.selector, stranger, requester));
        market.post(terms);
    }

    function test_post_unfunded_reverts() public {
        JobTerms memory terms = _terms();
        terms.requester = stranger;
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(InsufficientFree.selector, stranger, 0, 133e18));
        market.post(terms);
    }

    function test_post_committeeMustBeThreeFiveOrSeven() public {
        JobTerms memory terms = _terms();
        for (uint8 n; n < 12; ++n) {
            terms.committee = n;
            if (n == 3 || n == 5 || n == 7) continue;
            _refused(terms, abi.encodeWithSelector(BadCommitteeSize.selector, n));
        }
    }

    function test_post_floorMustDifferFromTarget() public {
        JobTerms memory terms = _terms();
        terms.target = terms.floor;
        _refused(terms, abi.encodeWithSelector(FloorEqualsTarget.selector, terms.floor));
    }

    function test_post_termsOutOfRange_nameTheTerm() public {
        JobTerms memory terms = _terms();
        terms.lanes = 0;
        _outOfRange(terms, "lanes", 0, 1, 8);
        terms.lanes = 9;
        _outOfRange(terms, "lanes", 9, 1, 8);
        terms = _terms();
        terms.floor = Votes.BAD;
        _outOfRange(terms, "floor", Votes.BAD, 0, Votes.MAX_SCORE);
        terms = _terms();
        terms.floorPay = 1e6 + 1;
        _outOfRange(terms, "floorPay", 1e6 + 1, 0, 1e6);
        terms = _terms();
        terms.shards = 15;
        _outOfRange(terms, "shards", 15, 16, 64);
        terms = _terms();
        terms.heldOut = 11;
        _outOfRange(terms, "heldOut", 11, 4, 10);
        terms = _terms();
        terms.fee = STAKE / 32 + 1;
        _outOfRange(terms, "fee", STAKE / 32 + 1, 0.01e18, STAKE / 32);
        terms = _terms();
        terms.collateral = 20e18 - 1;
        _outOfRange(terms, "collateral", 20e18 - 1, 20e18, type(uint96).max);
        terms.fee = 10e18;
        terms.collateral = 30e18 - 1;
        _outOfRange(terms, "collateral", 30e18 - 1, 30e18, type(uint96).max);
    }

    function test_post_windowsAndWorkOutOfTheMarketsLimits_areRefused() public {
        JobTerms memory terms = _terms();
        terms.bidWindow = 9;
        _outOfRange(terms, "bidWindow", 9, 10, 7 days);
        terms = _terms();
        terms.challengeWindow = 7 days + 1;
        _outOfRange(terms, "challengeWindow", 7 days + 1, 10, 7 days);
        terms = _terms();
        terms.shardBytes = (1 << 24) + 1;
        _outOfRange(terms, "shardBytes", (1 << 24) + 1, 1, 1 << 24);
        terms = _terms();
        terms.weightsBytes = (1 << 30) + 1;
        _outOfRange(terms, "weightsBytes", (1 << 30) + 1, 1, 1 << 30);
        terms = _termsOf(8);
        uint64 greatest = uint64(1e9 * 1 hours / 8);
        terms.operationCap = greatest + 1;
        _outOfRange(terms, "operationCap", greatest + 1, 1, greatest);
    }

    function test_post_parents_atMostFourAndTwentyPercent() public {
        JobTerms memory terms = _terms();
        terms.parents = new Parent[](5);
        _outOfRange(terms, "parents", 5, 0, 4);
        terms.parents = new Parent[](1);
        _refused(terms, abi.encodeWithSelector(ZeroAddress.selector));
        terms.parents[0] = Parent(0, stranger, 2001);
        _refused(terms, abi.encodeWithSelector(RoyaltiesTooHigh.selector, 2001));
        terms.parents[0].bps = 2000;
        _post(terms);
    }

    function _outOfRange(JobTerms memory terms, bytes32 field, uint256 value, uint256 least, uint256 greatest) private {
        _refused(terms, abi.encodeWithSelector(TermOutOfRange.selector, field, value, least, greatest));
    }

    function _refused(JobTerms memory terms, bytes memory reason) private {
        vm.prank(requester);
        vm.expectRevert(reason);
        market.post(terms);
    }
}
