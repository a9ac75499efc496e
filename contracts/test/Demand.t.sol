// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice P4.5, row by row: who may ask whom, when, and what silence costs.
contract DemandTest is Base {
    /* ------------------------------------------------------------------ Running */

    function test_demand_running_unanswered_bondToDemandersAllElseBack() public {
        JobTerms memory terms = _termsOf(3);
        uint256 r = market.free(requester);
        bytes32 id = _accept(terms);
        _demandAs(providers[0], id, REQUESTER, 0);
        skip(10 minutes);
        _demandAs(providers[2], id, REQUESTER, 0); // joins, and does not move the deadline
        assertEq(market.getJob(id).demanders, 5);
        assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.releaseWindow - 10 minutes);
        skip(terms.releaseWindow - 10 minutes);
        vm.expectEmit(address(market));
        emit Unanswered(id, REQUESTER);
        market.close(id);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.TrainingKeysWithheld));
        market.settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + terms.bond / 2);
        assertEq(market.free(providers[1]), 10_000e18);
        assertEq(market.free(providers[2]), 10_000e18 + terms.bond / 2);
        assertEq(market.free(requester), r - terms.bond);
    }

    function test_demand_running_answered_workWindowBeginsAnew_andNotTwice() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        skip(terms.workWindow / 2);
        _demandAs(providers[0], id, REQUESTER, 0);
        skip(1 minutes);
        _answerAs(requester, id, REQUESTER);
        assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.workWindow);
        vm.expectRevert(abi.encodeWithSelector(AlreadyDemanded.selector, id, REQUESTER));
        _demandAs(providers[0], id, REQUESTER, 0);
    }

    /// @notice P4.5: a deadline that silence missed is nobody's to move: neither joins nor further demands come after it.
    function test_demand_afterTheDeadlineOfAPendingOne_isTooLate() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _accept(terms);
        _demandAs(providers[1], id, REQUESTER, 0);
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        bytes memory late = abi.encodeWithSelector(TooLate.selector, deadline, deadline);
        vm.expectRevert(late);
        _demandAs(providers[0], id, REQUESTER, 0);
        vm.warp(deadline - 1);
        _demandAs(providers[0], id, REQUESTER, 0);
        assertEq(market.getJob(id).demanders, 3);

        terms.salt = keccak256("scored");
        id = _scored(terms, Votes.withLane(_vote(950_000), 1, 950_000));
        _demandAs(requester, id, 0, 0);
        deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        late = abi.encodeWithSelector(TooLate.selector, deadline, deadline);
        vm.expectRevert(late);
        _demandAs(requester, id, 1, 0);
    }

    function test_demand_running_notByOthers_notOfProviders_notInTheSecondHalf() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        vm.expectRevert(abi.encodeWithSelector(NotParty.selector, stranger, id));
        _demandAs(stranger, id, REQUESTER, 0);
        vm.expectRevert(abi.encodeWithSelector(BadParty.selector, 0));
        _demandAs(requester, id, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(BadParty.selector, 1));
        _demandAs(requester, id, 1, 0);
        uint256 half = vm.getBlockTimestamp() + terms.workWindow / 2;
        vm.warp(half + 1);
        vm.expectRevert(abi.encodeWithSelector(DemandTooLate.selector, half + 1, half));
        _demandAs(providers[0], id, REQUESTER, 0);
    }

    function test_demand_noKeys_needsAnAnsweredDemand_thenMissingMayWin() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        vm.expectRevert(abi.encodeWithSelector(KeysNotAnswered.selector, id));
        _submit(id, 0, NO_KEYS);
        _demandAs(providers[0], id, REQUESTER, 0);
        vm.expectRevert(abi.encodeWithSelector(KeysNotAnswered.selector, id));
        _submit(id, 0, NO_KEYS);
        _answerAs(requester, id, REQUESTER);
        _submit(id, 0, NO_KEYS);
        _pin(id);
        _commitAll(id, _vote(Votes.MISSING));
        _revealAll(id, _vote(Votes.MISSING));
        assertEq(market.getJob(id).result, _vote(Votes.MISSING));
        _settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 - terms.collateral);
    }

    /// @notice P4.5: what was asked in one stage belongs to it: a round begins with nothing demanded of anybody.
    function test_demand_ofTheRunningStage_isForgottenInTheRound() public {
        bytes32 id = _accept(_termsOf(2));
        _demandAs(providers[0], id, REQUESTER, 0);
        _answerAs(requester, id, REQUESTER);
        _submit(id, 0, WORD);
        assertEq(market.getJob(id).demanded, 1 << REQUESTER);
        _submit(id, 1, WORD);
        JobView memory job = market.getJob(id);
        assertEq(uint8(job.state), uint8(State.Committing));
        assertEq(job.demanded, 0);
        assertEq(job.pending, 0);
        assertEq(job.demanders, 0);
        assertEq(job.missing, 0);
    }

    /* --------------------------------------------------------------- Committing */

    function test_demand_committing_heldOutKeysWithheld_paysProvidersAndDrawnSeats() public {
        JobTerms memory terms = _terms();
        (uint256 r, uint256 owners) = (market.free(requester), _ownersFree());
        bytes32 id = _drawn(terms);
        _demandAs(_hotAt(id, 0), id, REQUESTER, 0);
        address second = _hotAt(id, 1);
        vm.expectRevert(abi.encodeWithSelector(AlreadyDemanded.selector, id, REQUESTER));
        _demandAs(second, id, REQUESTER, 1); // seats have no bond to share
        skip(terms.releaseWindow);
        market.close(id);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.HeldOutKeysWithheld));
        market.settle(terms);
        assertEq(market.burned(), 0, "who could not vote was not absent");
        assertEq(market.free(providers[0]), 10_000e18 + PRICE + terms.bond);
        assertEq(market.free(requester), r - PRICE - terms.bond - 3 * FEE);
        assertEq(_ownersFree(), owners + 3 * FEE);
        assertEq(market.getJob(id).result, _vote(Votes.NO_DATA));
    }

    function test_demand_committing_providerSilent_laneMissing_windowAnewForTheRest() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _drawn(terms);
        _demandAs(_hotAt(id, 2), id, 1, 2);
        skip(terms.releaseWindow);
        market.close(id);
        assertEq(market.getJob(id).missing, 2);
        assertEq(uint8(_state(id)), uint8(State.Committing));
        assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.commitWindow);
        // Whatever the seats say of lane 1, it is MISSING.
        bytes32 vote = Votes.withLane(_vote(950_000), 1, 950_000);
        _commitAll(id, vote);
        _revealAll(id, vote);
        _settle(terms);
        assertEq(market.getJob(id).result, Votes.withLane(_vote(950_000), 1, Votes.MISSING));
        assertEq(market.free(providers[0]), 10_000e18 + PRICE);
        assertEq(market.free(providers[1]), 10_000e18 - terms.collateral);
    }

    function test_demand_committing_allProvidersSilent_endsTheJobAndPaysTheSeats() public {
        JobTerms memory terms = _terms();
        uint256 owners = _ownersFree();
        bytes32 id = _drawn(terms);
        _demandAs(_hotAt(id, 1), id, 0, 1);
        skip(terms.releaseWindow);
        market.close(id);
        market.settle(terms);
        assertEq(market.getJob(id).result, _vote(Votes.MISSING));
        assertEq(market.free(providers[0]), 10_000e18 - terms.collateral);
        assertEq(_ownersFree(), owners + 3 * FEE);
    }

    function test_demand_committing_commitsGoOnWhileItRuns() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _demandAs(_hotAt(id, 0), id, REQUESTER, 0);
        _commitAll(id, _vote(900_000));
        assertEq(uint8(_state(id)), uint8(State.Revealing));
        assertEq(market.getJob(id).pending, 0);
    }

    function test_demand_committing_ofALaneThereIsNot_isRefused() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        address hot = _hotAt(id, 0);
        vm.prank(hot);
        vm.expectRevert(abi.encodeWithSelector(BadParty.selector, 1));
        market.demand(terms, 1, 0);
    }

    function test_demand_committing_onlyByItsSeat() public {
        bytes32 id = _drawn(_terms());
        vm.expectRevert(abi.encodeWithSelector(NotSeat.selector, requester, 0));
        _demandAs(requester, id, 0, 0);
        address hot = _hotAt(id, 0);
        vm.expectRevert(abi.encodeWithSelector(NotSeat.selector, hot, 3));
        _demandAs(hot, id, 0, 3);
    }

    function test_vote_missingOrNoData_countOnlyIfDemandedInThatRound() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(Votes.MISSING));
        assertEq(market.getJob(id).round, 2, "nobody was demanded: no majority");
        _pin(id);
        _demandAs(_hotAt(id, 0), id, REQUESTER, 0);
        _answerAs(requester, id, REQUESTER);
        _commitAll(id, _vote(Votes.NO_DATA));
        _revealAll(id, _vote(Votes.NO_DATA));
        assertEq(market.getJob(id).result, _vote(Votes.NO_DATA));
        _settle(terms);
        assertEq(
            market.free(providers[0]), 10_000e18 + PRICE + terms.bond, "in full, with its share of the bond (P3.3)"
        );
    }

    /* ------------------------------------------------------------------- Scored */

    function test_demand_scored_halfOfAPaidLaneWithheld_laneIsMissing() public {
        JobTerms memory terms = _terms();
        uint256 r = market.free(requester);
        bytes32 id = _scored(terms, _vote(950_000));
        _demandAs(requester, id, 0, 0);
        skip(terms.challengeWindow);
        vm.expectRevert(abi.encodeWithSelector(DemandPending.selector, id, 1));
        market.settle(terms);
        market.close(id);
        market.settle(terms);
        assertEq(market.getJob(id).result, _vote(Votes.MISSING));
        assertEq(market.free(providers[0]), 10_000e18 - terms.collateral);
        assertEq(market.free(requester), r - 3 * FEE + terms.collateral);
    }

    function test_demand_scored_halfOfAnUnpaidLane_needNotBeAnswered() public {
        JobTerms memory terms = _termsOf(3);
        bytes32 vote = Votes.withLane(Votes.withLane(_vote(700_000), 1, 700_000), 2, 950_000);
        bytes32 id = _scored(terms, vote);
        for (uint8 lane; lane < 3; ++lane) {
            _demandAs(requester, id, lane, 0);
        }
        skip(terms.challengeWindow);
        market.close(id);
        market.settle(terms);
        assertEq(market.getJob(id).result, Votes.withLane(vote, 2, Votes.MISSING));
        for (uint256 lane; lane < 2; ++lane) {
            assertEq(
                market.free(providers[lane]), 10_000e18 - FEE, "P4.4: the requester gets b of a lane that pays only"
            );
        }
        assertEq(market.free(providers[2]), 10_000e18 - terms.collateral);
    }

    function test_demand_scored_heldOutKeysWithheld_demandingLaneIsPaidInFull() public {
        JobTerms memory terms = _termsOf(3);
        bytes32 vote = Votes.withLane(Votes.withLane(_vote(700_000), 1, 700_000), 2, 700_000);
        bytes32 id = _scored(terms, vote);
        _demandAs(providers[0], id, REQUESTER, 0);
        _demandAs(providers[2], id, REQUESTER, 0);
        skip(terms.challengeWindow);
        market.close(id);
        market.settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE + terms.bond / 3);
        assertEq(market.free(providers[1]), 10_000e18 - FEE, "who did not ask is paid by its score");
        assertEq(market.free(providers[2]), 10_000e18 + PRICE + terms.bond / 3);
    }

    function test_demand_scored_silenceShortensNobodysChallenge() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        uint256 end = market.getJob(id).deadline;
        _demandAs(requester, id, 0, 0);
        skip(terms.releaseWindow);
        market.close(id);
        assertEq(market.getJob(id).deadline, end);
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        assertEq(market.getJob(id).missing, 0, "the next challenge asks anew");
    }

    /// @notice P4.5: keys that were answered were not withheld, whoever else is silent afterwards.
    function test_demand_scored_keysAnswered_anotherLanesSilenceIsItsOwn() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 vote = Votes.withLane(_vote(950_000), 1, 950_000);
        bytes32 id = _scored(terms, vote);
        vm.prank(providers[1]);
        market.demand(terms, REQUESTER, 0);
        vm.prank(requester);
        market.answer(terms, REQUESTER, "keys");
        vm.prank(requester);
        market.demand(terms, 0, 0);
        skip(terms.releaseWindow);
        market.close(id);
        assertEq(market.getJob(id).result, Votes.withLane(vote, 0, Votes.MISSING));
    }

    function test_demand_scored_answered_challengeBeginsAnew() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        skip(terms.challengeWindow / 2);
        _demandAs(requester, id, 0, 0);
        skip(terms.releaseWindow - 1);
        vm.expectEmit(address(market));
        emit Answered(id, 0, "envelopes", uint40(vm.getBlockTimestamp() + terms.challengeWindow));
        _answerAs(providers[0], id, 0);
    }

    /// @notice P4.5: the chain says who was silent, while Scored too.
    function test_demand_scored_unanswered_namesEverySilentParty() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _scored(terms, Votes.withLane(_vote(950_000), 1, 950_000));
        _demandAs(requester, id, 1, 0);
        _demandAs(providers[0], id, REQUESTER, 0);
        skip(terms.releaseWindow);
        vm.expectEmit(address(market));
        emit Unanswered(id, 1);
        vm.expectEmit(address(market));
        emit Unanswered(id, REQUESTER);
        market.close(id);
    }

    /// @notice P4.5: who delivered nothing is owed no keys, whoever has the lane before or after.
    function test_demand_scored_ofTheKeys_byWhoDeliveredOnly() public {
        JobTerms memory terms = _termsOf(3);
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        _submit(id, 2, WORD);
        skip(terms.workWindow);
        market.close(id);
        _pin(id);
        bytes32 vote = Votes.withLane(_vote(950_000), 2, 950_000);
        _commitAll(id, vote);
        _revealAll(id, vote);
        vm.expectRevert(abi.encodeWithSelector(NotParty.selector, providers[1], id));
        _demandAs(providers[1], id, REQUESTER, 0);
        _demandAs(providers[0], id, REQUESTER, 0);
        _demandAs(providers[2], id, REQUESTER, 0);
        assertEq(market.getJob(id).demanders, 5);
    }

    /// @notice P4.5: eight lanes are as many as there are, and the last one's half is asked for like any other's.
    function test_demand_scored_ofTheLastOfEightLanes() public {
        JobTerms memory terms = _termsOf(8);
        bytes32 vote;
        for (uint256 lane; lane < 8; ++lane) {
            vote = Votes.withLane(vote, lane, 950_000);
        }
        bytes32 id = _scored(terms, vote);
        _demandAs(requester, id, 7, 0);
        skip(terms.challengeWindow);
        market.close(id);
        market.settle(terms);
        assertEq(market.getJob(id).result, Votes.withLane(vote, 7, Votes.MISSING));
        assertEq(market.free(providers[6]), 10_000e18 + PRICE);
        assertEq(market.free(providers[7]), 10_000e18 - terms.collateral);
    }

    function test_demand_scored_onlyParties() public {
        bytes32 id = _scored(_terms(), _vote(950_000));
        vm.expectRevert(abi.encodeWithSelector(NotRequester.selector, stranger, requester));
        _demandAs(stranger, id, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(NotParty.selector, stranger, id));
        _demandAs(stranger, id, REQUESTER, 0);
    }

    /* ------------------------------------------------------------------- answer */

    function test_answer_byOthers_undemanded_orLate_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        vm.expectRevert(abi.encodeWithSelector(NothingDemanded.selector, id, REQUESTER));
        _answerAs(requester, id, REQUESTER);
        vm.expectRevert(abi.encodeWithSelector(NothingDemanded.selector, id, 9));
        _answerAs(requester, id, 9);
        _demandAs(providers[0], id, REQUESTER, 0);
        vm.expectRevert(abi.encodeWithSelector(NotParty.selector, stranger, id));
        _answerAs(stranger, id, REQUESTER);
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(TooLate.selector, deadline, deadline));
        _answerAs(requester, id, REQUESTER);
    }

    function test_answer_oneOfTwo_keepsTheDeadline() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _demandAs(_hotAt(id, 0), id, REQUESTER, 0);
        _demandAs(_hotAt(id, 0), id, 0, 0);
        uint256 deadline = market.getJob(id).deadline;
        _answerAs(requester, id, REQUESTER);
        assertEq(market.getJob(id).deadline, deadline);
        assertEq(market.getJob(id).pending, 1);
        _answerAs(providers[0], id, 0);
        assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.commitWindow);
    }

    /* ------------------------------------------------------------------ helpers */

    function _demandAs(address who, bytes32 id, uint8 party, uint256 place) private {
        vm.prank(who);
        market.demand(_told(id), party, place);
    }

    function _answerAs(address who, bytes32 id, uint8 party) private {
        vm.prank(who);
        market.answer(_told(id), party, "envelopes");
    }

    function _ownersFree() private view returns (uint256 sum) {
        for (uint256 i; i < OWNERS; ++i) {
            sum += market.free(_owner(i));
        }
    }
}
