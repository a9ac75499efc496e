// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Signing} from "./Signing.sol";

/// @notice P6.1: the relayed road, the waiver, and the outcome that all parties agree on.
contract RelayTest is Signing {
    /* ------------------------------------------------------------------- batches */

    function test_relayed_wholeJob_twoBatchesAndAWaiver() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        _commitBatch(id);
        assertEq(uint8(_state(id)), uint8(State.Revealing));
        bytes[] memory waivers = _waivers(id, VOTE);
        uint256 before = market.free(requester);
        vm.prank(stranger);
        market.conclude(terms, _openings(id), waivers);
        assertEq(uint8(_state(id)), uint8(State.Settled));
        assertEq(market.getJob(id).result, VOTE);
        assertEq(market.free(providers[0]), 10_000e18 + 75e18);
        assertEq(market.free(requester), before + 30e18 + 15e18);
        assertEq(_held(id), 0);
    }

    function test_revealAll_thenTheChallengeRunsAsEver() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        _commitBatch(id);
        market.revealAll(id, _openings(id));
        assertEq(uint8(_state(id)), uint8(State.Scored));
        vm.expectRevert();
        market.settle(terms);
        _settle(terms);
    }

    /// @notice A batch that stalls stops no vote: commits made alone are opened together, and the other way round.
    function test_roads_mix_betweenTheStages() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        market.pin(id);
        for (uint256 place; place < 3; ++place) {
            _commit(id, 2 - place, VOTE); // in an order of their own
        }
        Opening[] memory openings = _openings(id);
        vm.expectPartialRevert(WrongReveal.selector);
        market.revealAll(id, openings);
        (openings[0], openings[2]) = (openings[2], openings[0]);
        market.revealAll(id, openings);
        assertEq(market.getRound(id, 1).revealed, 7);

        terms.salt = keccak256("the other way");
        bytes32 other = _submitted(terms);
        _commitBatch(other);
        for (uint8 place; place < 3; ++place) {
            _noteCommit(other, 1, place, _commitment(other, 1, _seat(other, place), VOTE));
        }
        _revealAll(other, VOTE);
        assertEq(uint8(_state(other)), uint8(State.Scored));
    }

    function test_commitAll_allOrNone() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        bytes[] memory fewer = new bytes[](2);
        vm.expectRevert(abi.encodeWithSelector(NotAll.selector, 3, 3));
        market.commitAll(id, hashes, fewer);
        (bytes memory first, bytes memory last) = (signatures[0], signatures[2]);
        (signatures[0], signatures[2]) = (last, first);
        vm.expectPartialRevert(BadSignature.selector);
        market.commitAll(id, hashes, signatures);
        (signatures[0], signatures[2]) = (first, last);
        market.commitAll(id, hashes, signatures);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Revealing));
        market.commitAll(id, hashes, signatures);
    }

    function test_commitAll_afterOneCommittedAlone_reverts() public {
        bytes32 id = _submitted(_terms());
        market.pin(id);
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        _commit(id, 1, VOTE);
        vm.expectRevert(abi.encodeWithSelector(AlreadyCommitted.selector, id, 1, 0));
        market.commitAll(id, hashes, signatures);
    }

    function test_commitAll_withAnEmptyCommit_reverts() public {
        bytes32 id = _submitted(_terms());
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        hashes[1] = 0;
        vm.expectRevert(ZeroWord.selector);
        market.commitAll(id, hashes, signatures);
    }

    function test_revealAll_afterOneRevealedAlone_reverts() public {
        bytes32 id = _submitted(_terms());
        market.pin(id);
        _commitAll(id, VOTE);
        _reveal(id, 1, VOTE);
        Opening[] memory openings = _openings(id);
        vm.expectRevert(abi.encodeWithSelector(AlreadyRevealed.selector, id, 1, 0));
        market.revealAll(id, openings);
    }

    /// @notice P4.5: what was asked for is answered first, or its deadline told; nobody waives another's demand.
    function test_conclude_whileADemandIsPending_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, VOTE);
        vm.prank(requester);
        market.demand(terms, 0, 0);
        bytes[] memory waivers = _waivers(id, VOTE);
        vm.expectRevert(abi.encodeWithSelector(DemandPending.selector, id, 1));
        market.conclude(terms, new Opening[](0), waivers);
    }

    /// @notice No message is good twice: a waiver names job, round and result, a commit job, round and seat.
    function test_messages_ofOneJob_areWorthNothingInAnother() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        (, bytes[] memory signatures) = _commits(id);
        _commitBatch(id);
        bytes[] memory waivers = _waivers(id, VOTE);
        market.conclude(terms, _openings(id), waivers);

        terms.salt = keccak256("another");
        bytes32 other = _submitted(terms);
        (bytes32[] memory hashes,) = _commits(other);
        vm.expectPartialRevert(BadSignature.selector);
        market.commitAll(other, hashes, signatures);
        _commitBatch(other);
        Opening[] memory openings = _openings(other);
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, requester));
        market.conclude(terms, openings, waivers);
    }

    function test_conclude_withoutOneSignature_orWithAnotherResult_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        _commitBatch(id);
        Opening[] memory openings = _openings(id);
        bytes[] memory one = new bytes[](1);
        vm.expectRevert(abi.encodeWithSelector(NotAll.selector, 1, 2));
        market.conclude(terms, openings, one);
        bytes[] memory other = _waivers(id, _vote(900_001));
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, requester));
        market.conclude(terms, openings, other);
    }

    /* ----------------------------------------------------------------- agreement */

    function test_agree_jobThatWasNeverPosted_isOneTransaction() public {
        JobTerms memory terms = _terms();
        bytes32 id = _remember(terms);
        uint256 before = market.free(requester);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 80e18);
        vm.prank(stranger);
        market.agree(terms, lanes, type(uint64).max, signatures);
        assertEq(market.free(requester), before - 80e18);
        assertEq(market.free(providers[0]), 10_000e18 + 80e18);
        (State state, Outcome outcome, address provider, bytes32 word, uint32 score, bool paid) =
            market.settledLane(id, 0);
        assertEq(uint8(state), uint8(State.Settled));
        assertEq(uint8(outcome), uint8(Outcome.Agreed));
        assertEq(provider, providers[0]);
        assertEq(word, WORD);
        assertEq(score, 900_000);
        assertTrue(paid);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Settled));
        market.agree(terms, lanes, type(uint64).max, signatures);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(JobExists.selector, id));
        market.post(terms);
    }

    /// @notice Seats that committed still get f, nobody is slashed, everybody else has back what they put in.
    function testFuzz_agree_inEveryState_conservesEveryUnit(uint8 stage, uint96 payout) public {
        JobTerms memory terms = _terms();
        payout = uint96(bound(payout, 0, PRICE));
        bytes32 id = _reach(terms, stage % 6);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, payout);
        uint256 burned = market.burned();
        market.agree(terms, lanes, type(uint64).max, signatures);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Agreed));
        assertEq(_held(id), 0);
        assertEq(market.burned(), burned);
        assertEq(market.free(providers[0]), 10_000e18 + payout);
        uint256 fees = stage % 6 >= 3 ? 3 * uint256(FEE) : 0;
        assertEq(market.free(requester), 100_000e18 - payout - fees);
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            assertEq(market.getSeat(seat).stake, STAKE);
        }
    }

    function test_agree_withoutAProvidersSignature_orTooLate_orTooDear_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 80e18);
        bytes memory own = signatures[1];
        signatures[1] = signatures[0];
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, providers[0]));
        market.agree(terms, lanes, type(uint64).max, signatures);
        signatures[1] = own;
        vm.expectPartialRevert(TooLate.selector);
        market.agree(terms, lanes, uint64(vm.getBlockTimestamp() - 1), signatures);
        (lanes, signatures) = _agreed(id, 1000e18);
        vm.expectPartialRevert(InsufficientFree.selector);
        market.agree(terms, lanes, type(uint64).max, signatures);
    }

    function test_agree_cannotExchangeWhatWasSubmitted() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        AgreedLane[] memory lanes = new AgreedLane[](1);
        lanes[0] = AgreedLane(providers[0], keccak256("other"), 900_000, 1e18);
        bytes[] memory signatures = _signOutcome(id, lanes);
        vm.expectRevert(abi.encodeWithSelector(AlreadySubmitted.selector, id, 0));
        market.agree(terms, lanes, type(uint64).max, signatures);
    }

    /* ------------------------------------------------------------------- helpers */

    /// @dev Running, submitted, seats drawn, all committed, scored, appealed and half committed.
    function _reach(JobTerms memory terms, uint8 stage) private returns (bytes32 id) {
        if (stage == 0) return _post(terms);
        if (stage == 1) return _accept(terms);
        id = _submitted(terms);
        if (stage >= 3) _commitBatch(id);
        if (stage >= 4) market.revealAll(id, _openings(id));
        if (stage != 5) return id;
        vm.prank(requester);
        market.appeal(terms, 0);
    }

    function _submitted(JobTerms memory terms) private returns (bytes32 id) {
        id = _accept(terms);
        _submit(id, 0, WORD);
        _roll(3);
    }
}
