// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Committee} from "./libraries/Committee.sol";
import {Payout} from "./libraries/Payout.sol";
import {Votes} from "./libraries/Votes.sol";
import {Ballots} from "./Ballots.sol";
import {Payments} from "./Payments.sol";

/// @title Settlement: everything a job holds goes where it belongs, in one call without an external one (P3.4)
/// @dev Order: slashes come in; then fees, appeals, lanes go out; what is left is the requester's. So the sum is right by
/// construction, and an amount too great would revert instead of reaching into other jobs.
abstract contract Settlement is Ballots, Payments {
    /// @dev What the votes decided; lanes that nobody measured have no bits in `comparable`.
    struct Verdict {
        uint256 round; // the deciding one, 0 if none
        bytes32 word; // its result
        bytes32 comparable; // bits of the lanes whose value is a score or BAD
    }

    /// @dev Pays everybody, whatever the outcome (P3.3). `terms` are those of the job, which is Scored and over.
    function _settle(bytes32 id, Job storage job, JobTerms calldata terms) internal {
        uint256 fees = uint256(terms.committee) * terms.fee;
        Pot memory pot = Pot(id, _heldFor(job, terms), 0, fees, terms.bond);
        Ballot[] memory rounds = new Ballot[](job.round);
        for (uint8 number = 1; number <= rounds.length; ++number) {
            rounds[number - 1] = _ballotOf(job, number);
        }
        Verdict memory verdict = _verdictOf(job, rounds);
        for (uint256 i; i < rounds.length; ++i) {
            _slashRound(pot, job, terms.fee, rounds[i], verdict);
        }
        for (uint256 i; i < rounds.length; ++i) {
            _payRound(pot, job, terms, rounds, i, verdict);
        }
        Outcome outcome = job.outcome == Outcome.None ? Outcome.Measured : job.outcome;
        bytes32 result = _payLanes(pot, job, terms, outcome, verdict.word);
        _pay(pot, terms.requester, Purpose.Bond, pot.bond);
        _burn(pot, pot.slashed);
        _pay(pot, terms.requester, Purpose.Refund, pot.left);

        (job.state, job.outcome, job.word) = (State.Settled, outcome, 0);
        emit Settled(id, outcome, result);
    }

    /* ------------------------------------------------------------------ slashes */

    /// @dev Lanes that the deciding round calls MISSING or NO_DATA compare nobody: delivery is a fact of its round, and a
    /// provider could otherwise slash honest seats of an earlier round by not delivering in a later one.
    function _verdictOf(Job storage job, Ballot[] memory rounds) private view returns (Verdict memory verdict) {
        uint256 round = rounds.length;
        while (round != 0 && rounds[round - 1].progress != Progress.Decided) {
            --round;
        }
        if (round == 0) return verdict;
        bytes32 word = rounds[round - 1].result;
        uint256 comparable;
        for (uint256 lane; lane < job.lanes; ++lane) {
            if (Votes.lane(word, lane) <= Votes.BAD && (job.missing >> lane) & 1 == 0) comparable |= 1 << lane;
        }
        return Verdict(round, word, Votes.spread(comparable));
    }

    function _slashRound(Pot memory pot, Job storage job, uint96 fee, Ballot memory round, Verdict memory verdict)
        private
    {
        if (round.progress == Progress.Defaulted) return;
        for (uint256 place; place < round.seats.length; ++place) {
            uint256 amount = _fineOf(job, fee, round, place, verdict);
            if (amount == 0 || round.seats[place] == Committee.VACANT) continue;
            uint256 taken = _slash(round.seats[place], amount, job.acceptBlock);
            if (taken == 0) continue;
            pot.left += taken;
            pot.slashed += taken;
            // at most round 3
            emit Slashed(pot.job, round.seats[place], uint8(round.number), taken);
        }
    }

    /// @dev What a seat owes for its part in a round (P3, P5.4).
    function _fineOf(Job storage job, uint256 fee, Ballot memory round, uint256 place, Verdict memory verdict)
        private
        view
        returns (uint256)
    {
        uint256 bit = 1 << place;
        if (round.committed & bit == 0) return 4 * fee;
        if (round.revealed & bit == 0) return round.progress == Progress.Uncommitted ? 0 : 8 * fee;
        if (round.number >= verdict.round) return 0;
        bytes32 difference = (round.votes[place] ^ verdict.word) & verdict.comparable;
        if (difference == 0) return 0;
        for (uint256 lane; lane < job.lanes; ++lane) {
            bool differs = Votes.lane(difference, lane) != 0;
            if (differs && Votes.lane(round.votes[place], lane) <= Votes.BAD) return _SEAT_STAKE / 2;
        }
        return 8 * fee;
    }

    /* --------------------------------------------------------- fees and appeals */

    /// @dev A round's fees come from the requester (round 1), from an appellant who did not win, or from what earlier rounds
    /// withheld and slashed (P3.2, P3.6).
    function _payRound(
        Pot memory pot,
        Job storage job,
        JobTerms calldata terms,
        Ballot[] memory rounds,
        uint256 i,
        Verdict memory verdict
    ) private {
        Ballot memory round = rounds[i];
        if (i == 0) {
            pot.withheld -= _payFees(pot, job, round, verdict, terms.fee);
            return;
        }
        (address appellant, uint256 bond) = (job.appeals[round.number].appellant, job.appeals[round.number].bond);
        bool isStanding = round.number <= verdict.round;
        if (bond == 0) {
            _payFromPot(pot, job, round, verdict, terms.fee);
        } else if (isStanding && _overturned(job, terms, rounds[i - 1].result, verdict, appellant)) {
            _pay(pot, appellant, Purpose.AppealBond, bond);
            uint256 onceOver = _min(bond, pot.slashed);
            pot.slashed -= onceOver;
            _pay(pot, appellant, Purpose.AppealBond, onceOver);
            _payFromPot(pot, job, round, verdict, terms.fee);
        } else {
            uint256 rest = bond - _payFees(pot, job, round, verdict, terms.fee);
            _payLostBond(pot, job, terms.requester, appellant, rest, isStanding);
        }
    }

    /// @dev The fees of a round that no bond pays for: as much as there is, f at most.
    function _payFromPot(Pot memory pot, Job storage job, Ballot memory round, Verdict memory verdict, uint256 fee)
        private
    {
        uint256 size = Committee.sizeOf(job.committee, round.number);
        fee = _min(fee, (pot.slashed + pot.withheld) / size);
        uint256 fees = _payFees(pot, job, round, verdict, fee);
        uint256 fromSlashes = _min(fees, pot.slashed);
        pot.slashed -= fromSlashes;
        pot.withheld -= fees - fromSlashes;
    }

    /// @dev Whether what was decided differs from the round before. A lane that is MISSING now tells for the requester only:
    /// a provider would else win by its own silence, or a friend's (P3.6).
    function _overturned(
        Job storage job,
        JobTerms calldata terms,
        bytes32 before,
        Verdict memory verdict,
        address appellant
    ) private view returns (bool) {
        bool isRequester = appellant == terms.requester;
        for (uint256 lane; lane < job.lanes && !isRequester; ++lane) {
            if (Votes.lane(verdict.word, lane) == Votes.MISSING) before = Votes.withLane(before, lane, Votes.MISSING);
        }
        return before != verdict.word;
    }

    function _payFees(Pot memory pot, Job storage job, Ballot memory round, Verdict memory verdict, uint256 fee)
        private
        returns (uint256 fees)
    {
        if (fee == 0) return 0;
        bytes32 measured = Votes.used(job.lanes) & ~Votes.spread(round.missing);
        for (uint256 place; place < round.seats.length; ++place) {
            if (round.seats[place] == Committee.VACANT || !_served(round, place, verdict.round, measured)) continue;
            address cold = _coldOf(round.seats[place]);
            if (cold == address(0)) continue; // left before the settlement, and its fee with it
            _pay(pot, cold, Purpose.Fee, fee);
            fees += fee;
        }
    }

    /// @dev Whether a seat earned its fee: it voted as its round decided; or nothing was decided in the end and it revealed;
    /// or a party's silence ended the round, and it was drawn.
    function _served(Ballot memory round, uint256 place, uint256 deciding, bytes32 measured)
        private
        pure
        returns (bool)
    {
        if (round.progress == Progress.Defaulted) return true;
        if (round.revealed & (1 << place) == 0) return false;
        if (round.progress == Progress.Decided) return (round.votes[place] ^ round.result) & measured == 0;
        return round.number > deciding;
    }

    /// @dev What an appellant's bond leaves after the fees: back if the round decided nothing, else to the other side: of the
    /// requester the providers who submitted, of a provider the requester, of a seat nobody (P3.6).
    function _payLostBond(
        Pot memory pot,
        Job storage job,
        address requester,
        address appellant,
        uint256 rest,
        bool isDecided
    ) private {
        if (!isDecided) {
            _pay(pot, appellant, Purpose.AppealBond, rest);
        } else if (appellant == requester) {
            uint256 share = rest / Votes.countOnes(job.submitted);
            for (uint256 lane; lane < job.lanes; ++lane) {
                if ((job.submitted >> lane) & 1 != 0) _pay(pot, job.lane[lane].provider, Purpose.AppealBond, share);
            }
        } else if (_laneOf(job, appellant) < job.lanes) {
            _pay(pot, requester, Purpose.AppealBond, rest);
        } else {
            _burn(pot, rest);
        }
    }

    /* -------------------------------------------------------------------- lanes */

    function _payLanes(Pot memory pot, Job storage job, JobTerms calldata terms, Outcome outcome, bytes32 word)
        private
        returns (bytes32 result)
    {
        if (outcome == Outcome.Void || outcome == Outcome.TrainingKeysWithheld) {
            _returnCollaterals(pot, job, terms, outcome);
            return 0;
        }
        _forgiveUnpaidHalves(job, terms, word);
        result = _overlaid(job, word);
        uint256 lanes = job.lanes;
        // Of a bond that is lost for the whole job, those who delivered have all; else each lane answers for its part.
        uint256 shares = outcome == Outcome.HeldOutKeysWithheld ? Votes.countOnes(job.asked.keysWithheld) : lanes;
        uint256 bondShare = pot.bond / shares;
        for (uint8 lane; lane < lanes; ++lane) {
            _payLane(pot, job, terms, lane, Votes.lane(result, lane), bondShare);
        }
    }

    /// @dev A provider owes its half key for a paid lane only (P4.4); the terms that tell which are known here first. The vote
    /// tells, not NO_DATA of withheld keys: else who withholds them is owed more. A lane without training keys has no half.
    function _forgiveUnpaidHalves(Job storage job, JobTerms calldata terms, bytes32 word) private {
        if (!job.wasAsked) return;
        uint8 withheld = job.asked.halfWithheld & ~job.asked.noKeys;
        for (uint256 lane; lane < job.lanes; ++lane) {
            uint256 payout = _payoutOf(terms, job.lane[lane].price, Votes.lane(word, lane));
            // at most 8 lanes
            if (payout == 0) withheld &= ~uint8(1 << lane);
        }
        job.asked.halfWithheld = withheld;
    }

    function _payLane(
        Pot memory pot,
        Job storage job,
        JobTerms calldata terms,
        uint8 lane,
        uint32 score,
        uint256 bondShare
    ) private {
        Lane storage stored = job.lane[lane];
        address provider = stored.provider;
        uint256 payout = _payoutOf(terms, stored.price, score);
        _payWithRoyalties(pot, terms, provider, payout);

        uint256 forfeit;
        if (score == Votes.BAD || score == Votes.MISSING) {
            forfeit = terms.collateral;
        } else if (payout == 0) {
            forfeit = _min(uint256(terms.committee) * terms.fee / job.lanes, terms.collateral);
        }
        _pay(pot, terms.requester, Purpose.Collateral, forfeit);
        _pay(pot, provider, Purpose.Collateral, terms.collateral - forfeit);
        if (score == Votes.NO_DATA) {
            pot.bond -= bondShare;
            _pay(pot, provider, Purpose.Bond, bondShare);
        }

        emit LaneSettled(pot.job, lane, provider, score, payout);
        _closeLane(stored, score, payout != 0);
        bool isMeasured = score <= Votes.MAX_SCORE;
        if (payout != 0) _emitArtifact(pot.job, terms, lane, Made(provider, stored.word, score, isMeasured));
    }

    /// @dev NO_DATA is the requester's doing: the whole bid.
    function _payoutOf(JobTerms calldata terms, uint96 price, uint32 score) private pure returns (uint256) {
        if (score == Votes.NO_DATA) return price;
        return Payout.ofScoreDown(price, terms.floor, terms.target, terms.floorPay, score);
    }

    /// @dev Everybody gets back what they put in, but who never submitted (P3.2). Withheld training keys cost the bond, in
    /// equal parts for those who asked, and excuse every provider (P4.5).
    function _returnCollaterals(Pot memory pot, Job storage job, JobTerms calldata terms, Outcome outcome) private {
        bool isWithheld = outcome == Outcome.TrainingKeysWithheld;
        uint8 demanders = isWithheld ? job.asked.demanders : 0;
        uint256 share = isWithheld ? pot.bond / Votes.countOnes(demanders) : 0;
        for (uint256 lane; lane < job.lanes; ++lane) {
            address provider = job.lane[lane].provider;
            bool isAbsent = (job.missing >> lane) & 1 != 0;
            _pay(pot, isAbsent ? terms.requester : provider, Purpose.Collateral, terms.collateral);
            _closeLane(job.lane[lane], 0, false);
            if ((demanders >> lane) & 1 != 0) {
                pot.bond -= share;
                _pay(pot, provider, Purpose.Bond, share);
            }
        }
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
