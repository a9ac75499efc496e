// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "../Base.t.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {BrokenBeacon} from "../mocks/BrokenBeacon.sol";

/// @notice Who might win by keeping silent, or be fined for a silence that was not its own. Each was possible once.
contract SilenceTest is Base {
    /* ------------------------------------------------------------- draws nobody saw */

    /// @notice P5.3, P1.5: the window is over before the seed is known, three rounds long; nobody can pin it then.
    function test_drawThatNobodyCouldSeeInTime_finesNobody() public {
        JobTerms memory terms = _terms();
        terms.commitWindow = 10; // within the limits, and shorter than the three blocks of twelve seconds until the seed
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        for (uint256 tries; tries < 6; ++tries) {
            assertEq(uint8(_state(id)), uint8(State.Committing));
            _roll(3);
            skip(36);
            vm.expectPartialRevert(TooLate.selector);
            market.pin(id);
            market.close(id);
            assertEq(market.getRound(id, uint8(tries / 2 + 1)).seats.length, 0, "close draws nobody");
        }
        market.settle(terms);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Void));
        assertEq(_locked(), 24 * uint256(STAKE));
    }

    /// @notice P5.3: after the one reseed the round is as good as any other.
    function test_roundThatWasReseededAtItsDeadline_canStillDecide() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        _roll(3);
        skip(terms.commitWindow);
        market.close(id);
        assertEq(market.getJob(id).round, 1);
        _pin(id);
        _commitAll(id, _vote(900_000));
        _revealAll(id, _vote(900_000));
        assertEq(market.getJob(id).result, _vote(900_000));
    }

    /// @notice P1.1: no party traps money, the beacon included.
    function test_beaconThatReverts_trapsNoMoney() public {
        market = _deployMarket(address(token), STAKE, 0.01e18, address(new BrokenBeacon()), _limits());
        _fund(requester, 1000e18);
        _fund(providers[0], 1000e18);
        _moreSeats(24);
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        _roll(3);
        market.pin(id);
        assertEq(market.getJob(id).seedBlock, vm.getBlockNumber() + 2, "a failure reads as a hash that is gone");
        while (_state(id) == State.Committing) {
            _roll(3);
            skip(terms.commitWindow);
            market.close(id);
        }
        market.settle(terms);
        assertEq(market.free(requester), 1000e18);
        assertEq(market.free(providers[0]), 1000e18);
    }

    /* -------------------------------------------------------------- the requester's */

    /// @notice P4.5 row 1, threat 15: a lane of the requester's own demands at the last second; the others still join, and
    /// so the bond is not all its own again.
    function test_requestersPuppetDemandingLast_doesNotShutOthersOutOfTheBond() public {
        JobTerms memory terms = _termsOf(2);
        uint256 cartel = market.free(requester) + market.free(providers[0]);
        bytes32 id = _accept(terms);
        skip(terms.workWindow / 2);
        vm.prank(providers[0]);
        market.demand(_told(id), REQUESTER, 0);
        skip(1);
        vm.prank(providers[1]);
        market.demand(_told(id), REQUESTER, 0);
        skip(terms.releaseWindow);
        market.close(id);
        market.settle(terms);
        assertEq(market.free(requester) + market.free(providers[0]), cartel - terms.bond / 2);
    }

    /// @notice P4.5 rows 4 and 5, P4.4: an unpaid lane owes no half key, whatever else the requester withholds.
    function test_requesterWithholdingKeys_cannotMakeAnUnpaidLaneOweItsHalf() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(700_000));
        vm.prank(providers[0]);
        market.demand(_told(id), REQUESTER, 0);
        vm.prank(requester);
        market.demand(_told(id), 0, 0);
        skip(terms.challengeWindow);
        market.close(id);
        market.settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE + terms.bond, "paid in full");
    }

    /// @notice P4.5: a lane that never got training keys has weights of nothing, and no half key to owe.
    function test_laneWithoutTrainingKeys_owesNoHalfKey() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _demandAnswered(id, providers[0]);
        _submit(id, 0, NO_KEYS);
        _pin(id);
        _demandAnswered(id, _hotAt(id, 0));
        _commitAll(id, _vote(Votes.NO_DATA));
        _revealAll(id, _vote(Votes.NO_DATA));
        vm.prank(requester);
        market.demand(_told(id), 0, 0);
        skip(terms.challengeWindow);
        market.close(id);
        market.settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE + terms.bond);
    }

    /* ------------------------------------------------------------------- appellants */

    /// @notice P3.6: who falls silent in the round it asked for has not won it, and pays its seats.
    function test_appellantSilentInItsOwnRound_doesNotWin() public {
        JobTerms memory terms = _termsOf(2);
        uint256 before = _appealThenSilenceOfLane0(terms, providers[0]);
        assertEq(market.free(providers[0]), before, "bond and collateral are gone");
    }

    /// @notice P3.6: nor does who lets a friend fall silent.
    function test_appellantWhoseFriendIsSilent_doesNotWin() public {
        JobTerms memory terms = _termsOf(2);
        uint256 before = _appealThenSilenceOfLane0(terms, providers[1]);
        uint256 payout = uint256(PRICE) * (75_000 + 50_000) / 150_000; // of a score of 900,000
        assertLe(market.free(providers[1]), before + payout + terms.collateral, "no bond comes back");
    }

    /// @notice P3.6: silence is no friend of the requester's, so the requester who appeals and is answered with it has won.
    function test_requesterWhoAppealsAgainstASilentProvider_wins() public {
        JobTerms memory terms = _termsOf(2);
        uint256 before = _appealThenSilenceOfLane0(terms, requester);
        uint256 bond = market.getRound(market.hashTerms(terms), 2).appealBond;
        uint256 unspent = 2 * PRICE - uint256(PRICE) * (75_000 + 50_000) / 150_000;
        assertEq(market.free(requester), before + unspent + terms.bond + terms.collateral + bond, "the bond is back");
    }

    /* ---------------------------------------------------------------------- helpers */

    /// @dev Round 2 decides as round 1 did, but for lane 0. Returns what the appellant had free before the settlement.
    function _appealThenSilenceOfLane0(JobTerms memory terms, address appellant) private returns (uint256 before) {
        bytes32 vote = Votes.withLane(_vote(Votes.BAD), 1, 900_000);
        bytes32 id = _scored(terms, vote);
        vm.prank(appellant);
        market.appeal(_told(id), 0);
        _pin(id);
        _laneFallsSilent(id, terms);
        _commitAll(id, vote);
        _revealAll(id, vote);
        before = market.free(appellant);
        _settle(terms);
    }

    function _laneFallsSilent(bytes32 id, JobTerms memory terms) private {
        address hot = _hotAt(id, 0);
        vm.prank(hot);
        market.demand(_told(id), 0, 0);
        skip(terms.releaseWindow);
        market.close(id);
    }

    function _demandAnswered(bytes32 id, address demander) private {
        vm.prank(demander);
        market.demand(_told(id), REQUESTER, 0);
        vm.prank(requester);
        market.answer(_told(id), REQUESTER, "");
    }
}
