// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice P3: every deadline move, by a stranger, at its very second; and what the absent lose.
contract CloseTest is Base {
    function test_close_running_nobodySubmitted_givesAllToTheRequester() public {
        JobTerms memory terms = _terms();
        uint256 r = market.free(requester);
        bytes32 id = _accept(terms);
        skip(terms.workWindow);
        vm.prank(stranger);
        market.close(id);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Unsubmitted));
        market.settle(terms);
        assertEq(market.free(requester), r + terms.collateral);
        assertEq(_held(id), 0);
    }

    function test_close_running_oneAbsent_startsTheRoundAndForfeitsItsCollateral() public {
        JobTerms memory terms = _termsOf(2);
        (uint256 r, uint256 p) = (market.free(requester), market.free(providers[1]));
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        skip(terms.workWindow);
        market.close(id);
        assertEq(market.getJob(id).missing, 2);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        assertEq(market.getJob(id).result, Votes.withLane(_vote(950_000), 1, Votes.MISSING));
        _settle(terms);
        assertEq(market.free(providers[1]), p - terms.collateral);
        assertEq(market.free(requester), r - PRICE - 3 * FEE + terms.collateral);
    }

    function test_close_beforeDeadline_reverts() public {
        bytes32 id = _accept(_terms());
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(TooEarly.selector, deadline - 1, deadline));
        market.close(id);
    }

    function test_close_open_scoredOrSettled_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Open));
        market.close(id);
        terms.salt = 0;
        id = _scored(terms, _vote(900_000));
        skip(terms.challengeWindow);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Scored));
        market.close(id);
    }

    function test_close_committing_nobodyThere_threeTimes_isVoid() public {
        JobTerms memory terms = _terms();
        _moreSeats(20);
        (uint256 r, uint256 p) = (market.free(requester), market.free(providers[0]));
        bytes32 id = _drawn(terms);
        uint32 first = _seat(id, 0);
        for (uint8 round = 1; round <= 3; ++round) {
            assertEq(market.getJob(id).round, round);
            assertEq(market.getRound(id, round).size, (4 << (round - 1)) - 1);
            if (round > 1) _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Void));
        market.settle(terms);
        assertEq(market.free(requester), r, "everybody gets back what they put in (P3.2)");
        assertEq(market.free(providers[0]), p);
        assertLe(market.getSeat(first).stake, STAKE - 4 * FEE);
        assertGt(market.burned(), 0);
        assertEq(market.getJob(id).result, 0);
    }

    function test_close_committing_majorityThere_opensReveals() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commit(id, 0, _vote(1));
        _commit(id, 2, _vote(1));
        skip(terms.commitWindow);
        market.close(id);
        assertEq(uint8(_state(id)), uint8(State.Revealing));
        assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.revealWindow);
    }

    /// @notice P3.2: the majority is of n, whatever n is: half of it less a half is none, one more is.
    function test_close_committing_majorityIsOfEveryCommittee() public {
        JobTerms memory terms = _terms();
        _moreSeats(32);
        for (uint8 n = 3; n <= 7; n += 2) {
            for (uint256 commits = n / 2; commits <= n / 2 + 1; ++commits) {
                (terms.committee, terms.salt) = (n, keccak256(abi.encode(n, commits)));
                bytes32 id = _drawn(terms);
                for (uint256 place; place < commits; ++place) {
                    _commit(id, place, _vote(1));
                }
                skip(terms.commitWindow);
                market.close(id);
                assertEq(market.getJob(id).round, commits > n / 2 ? 1 : 2);
            }
        }
    }

    function test_close_committing_minorityThere_goesToTheNextRoundUnslashed() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        uint32 diligent = _seat(id, 1);
        _commit(id, 1, _vote(1));
        skip(terms.commitWindow);
        market.close(id);
        assertEq(market.getJob(id).round, 2);
        _pin(id);
        _commitAll(id, _vote(900_000));
        _revealAll(id, _vote(900_000));
        bool servedTwice = _isDrawn(id, 2, diligent);
        _settle(terms);
        if (!servedTwice) assertEq(market.getSeat(diligent).stake, STAKE, "it could not reveal");
    }

    function test_close_revealing_noMajority_nextRoundPaidFromWhatWasWithheld() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        for (uint32 i; i < 3; ++i) {
            _commit(id, i, _vote(900_000 + i));
        }
        for (uint32 i; i < 3; ++i) {
            _reveal(id, i, _vote(900_000 + i));
        }
        assertEq(market.getJob(id).round, 2);
        assertEq(uint8(_state(id)), uint8(State.Committing));
        _pin(id);
        uint256 owners = _ownersFree();
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        // All three seats of round 1 differ from what was decided: S/2 each pays the seven fees in full.
        assertEq(_ownersFree(), owners + 7 * FEE);
        assertEq(market.burned(), 3 * uint256(STAKE) / 2 - 7 * FEE);
    }

    function test_close_committing_hashGoneUnpinned_reseedsOnceThenMovesOn() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        for (uint256 i; i < 2; ++i) {
            _roll(300);
            skip(terms.commitWindow);
            market.close(id);
            if (i == 0) {
                assertEq(market.getJob(id).round, 1);
                assertEq(market.getJob(id).seedBlock, vm.getBlockNumber() + 2);
                assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.commitWindow);
            }
        }
        assertEq(market.getJob(id).round, 2);
    }

    function _isDrawn(bytes32 id, uint8 round, uint32 seat) private view returns (bool) {
        uint32[] memory seats = market.getRound(id, round).seats;
        for (uint256 i; i < seats.length; ++i) {
            if (seats[i] == seat) return true;
        }
        return false;
    }

    function _ownersFree() private view returns (uint256 sum) {
        for (uint256 i; i < OWNERS; ++i) {
            sum += market.free(_owner(i));
        }
    }
}
