// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "../Base.t.sol";
import {Committee} from "../../src/libraries/Committee.sol";
import {Votes} from "../../src/libraries/Votes.sol";

/// @notice P1.1, P3: whoever vanishes and whenever, a stranger alone ends the job in a bounded number of calls.
contract LivenessTest is Base {
    /// @dev Three rounds of at most a reseed, nine unanswered demands and a reveal; a challenge; `settle`.
    uint256 private constant MOST_CALLS = 3 * 12 + 3;

    /// @notice Threats 10, 11 and 20: parties act at random for a while, then all are gone.
    /// forge-config: default.fuzz.runs = 256
    /// forge-config: ci.fuzz.runs = 1000
    function testFuzz_stranger_endsEveryJobAlone_whereverThePartiesLeftIt(uint256 choices, bool hashesGone) public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _accept(terms);
        for (uint256 i; i < 16; ++i) {
            _actAtRandom(id, uint16(choices >> (16 * i)));
        }
        _strangerEnds(terms, id, hashesGone ? 300 : 3);
        assertEq(_held(id), 0);
        assertEq(_locked(), _stakes(24), "nothing but stake is locked any more (P1.4)");
        assertEq(token.balanceOf(address(market)), _allFree() + _locked() + market.burned());
    }

    /// @notice P5.2: a committee of fewer than a majority can decide nothing, and costs nobody but its own silence.
    function test_oneLiveSeatLeft_jobIsVoid_andTheOneWhoServedIsPaid() public {
        JobTerms memory terms = _terms();
        uint256 r = market.free(requester);
        bytes32 id = _accept(terms);
        _exitSeats(0, 23);
        _submit(id, 0, WORD);
        _pin(id);
        uint32[] memory seats = market.getRound(id, 1).seats;
        assertEq(seats[1], Committee.VACANT);
        assertEq(seats[0], 23);
        _commit(id, 0, _vote(900_000));
        assertEq(uint8(_state(id)), uint8(State.Revealing), "a vacant place keeps nobody waiting");
        _reveal(id, 0, _vote(900_000));
        assertEq(market.getJob(id).round, 2);
        uint256 cold = market.free(market.getSeat(23).cold);
        _strangerEnds(terms, id, 3);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Void));
        assertEq(market.free(market.getSeat(23).cold), cold + FEE, "who served has its fee (P3.2)");
        assertEq(market.free(requester), r - FEE);
        assertEq(market.free(providers[0]), 10_000e18);
    }

    /// @notice P5.2, P3.2: nobody is left to draw; everybody gets back what they put in.
    function test_noLiveSeatLeft_jobIsVoid_andEverybodyGetsAllBack() public {
        JobTerms memory terms = _terms();
        uint256 r = market.free(requester);
        bytes32 id = _accept(terms);
        _exitSeats(0, 24);
        _submit(id, 0, WORD);
        _strangerEnds(terms, id, 3);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Void));
        assertEq(market.free(requester), r);
        assertEq(market.free(providers[0]), 10_000e18);
        assertEq(_locked(), 24 * uint256(STAKE));
    }

    /// @notice P4.5, P5.5: demands of all nine parties, each as late as can be, answered at the last second, end. The seats
    /// of the round cannot have left by then.
    function test_demandsOfAllParties_asLateAsCanBe_areBounded() public {
        JobTerms memory terms = _termsOf(8);
        terms.committee = 7;
        _moreSeats(32);
        bytes32 id = _drawn(terms);
        uint256 start = vm.getBlockTimestamp();
        address hot = _hotAt(id, 0);
        for (uint8 party; party <= REQUESTER; ++party) {
            skip(terms.commitWindow / 2);
            vm.prank(hot);
            market.demand(_told(id), party, 0);
            skip(terms.releaseWindow - 1);
            vm.prank(party == REQUESTER ? requester : providers[party]);
            market.answer(_told(id), party, "");
        }
        for (uint8 party; party <= REQUESTER; ++party) {
            vm.prank(hot);
            vm.expectRevert(abi.encodeWithSelector(AlreadyDemanded.selector, id, party));
            market.demand(_told(id), party, 0);
        }
        uint256 longest = market.getJob(id).deadline - start;
        assertLe(longest, 10 * uint256(terms.commitWindow + terms.releaseWindow));
        assertLt(3 * longest, market.exitDelay());
    }

    /* ------------------------------------------------------------------ helpers */

    /// @dev One move of somebody; a revert is an answer too.
    function _actAtRandom(bytes32 id, uint16 choice) private {
        uint256 who = (choice >> 3) % 4;
        _roll(choice & 1 == 0 ? 3 : 1);
        skip(choice >> 6);
        if (choice % 8 == 0) try this.submitAs(id, uint8(who % 2)) {} catch {}
        if (choice % 8 == 1) try this.commitAs(id, who) {} catch {}
        if (choice % 8 == 2) try this.revealAs(id, who) {} catch {}
        if (choice % 8 == 3) try this.demandAs(id, who, choice >> 8) {} catch {}
        if (choice % 8 == 4) try this.answerAs(id, who) {} catch {}
        if (choice % 8 == 5) try market.close(id) {} catch {}
        if (choice % 8 == 6) try this.commitAllAs(id) {} catch {}
        if (choice % 8 == 7) try this.appealAs(id, who) {} catch {}
    }

    function submitAs(bytes32 id, uint8 lane) external {
        _submit(id, 0, WORD);
        if (lane != 0) _submit(id, 1, WORD);
    }

    function commitAs(bytes32 id, uint256 place) external {
        market.pin(id);
        _commit(id, place, _both(900_000));
    }

    function commitAllAs(bytes32 id) external {
        if (market.getRound(id, market.getJob(id).round).seats.length == 0) market.pin(id);
        uint256 size = market.getRound(id, market.getJob(id).round).size;
        for (uint256 place; place < size; ++place) {
            _commit(id, place, _both(900_000));
        }
        for (uint256 place; place < size; ++place) {
            _reveal(id, place, _both(900_000));
        }
    }

    function revealAs(bytes32 id, uint256 place) external {
        _reveal(id, place, _both(900_000));
    }

    function demandAs(bytes32 id, uint256 who, uint256 party) external {
        party = party % 3 == 2 ? REQUESTER : party % 3;
        address caller = who < 2 ? providers[who] : requester;
        if (_state(id) == State.Committing) caller = _hotAt(id, 0);
        vm.prank(caller);
        market.demand(_told(id), uint8(party), 0);
    }

    function answerAs(bytes32 id, uint256 who) external {
        vm.prank(who < 2 ? providers[who] : requester);
        market.answer(_told(id), who < 2 ? uint8(who) : REQUESTER, "");
    }

    function appealAs(bytes32 id, uint256 who) external {
        vm.prank(who < 2 ? providers[who] : requester);
        market.appeal(_told(id), 0);
    }

    function _strangerEnds(JobTerms memory terms, bytes32 id, uint256 blocks) private {
        vm.startPrank(stranger);
        uint256 calls;
        for (; calls < MOST_CALLS && _state(id) != State.Settled; ++calls) {
            JobView memory job = market.getJob(id);
            if (vm.getBlockTimestamp() < job.deadline) vm.warp(job.deadline);
            _roll(blocks);
            if (job.state == State.Scored && job.pending == 0) market.settle(terms);
            else market.close(id);
        }
        vm.stopPrank();
        assertEq(uint8(_state(id)), uint8(State.Settled));
    }

    function _exitSeats(uint32 from, uint32 to) private {
        for (uint32 seat = from; seat < to; ++seat) {
            vm.prank(market.getSeat(seat).cold);
            market.exit(seat);
        }
    }

    function _both(uint32 value) private pure returns (bytes32) {
        return Votes.withLane(_vote(value), 1, value);
    }

    function _stakes(uint32 count) private view returns (uint256 sum) {
        for (uint32 seat; seat < count; ++seat) {
            sum += market.getSeat(seat).stake;
        }
    }

    function _allFree() private view returns (uint256 sum) {
        sum = market.free(requester) + market.free(stranger);
        for (uint256 i; i < 8; ++i) {
            sum += market.free(providers[i]) + market.free(_owner(i)) + market.free(_hot(i));
        }
    }
}
