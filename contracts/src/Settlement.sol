// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Committee} from "./libraries/Committee.sol";
import {Messages} from "./libraries/Messages.sol";
import {Payout} from "./libraries/Payout.sol";
import {Votes} from "./libraries/Votes.sol";
import {Jobs} from "./Jobs.sol";

/// @title Settlement: everything a job holds goes where it belongs, in one call without an external one (P3.4)
/// @dev Order: slashes come in; then fees, appeals, lanes go out; what is left is the requester's. So the sum is right by
/// construction, and an amount too great would revert instead of reaching into other jobs.
abstract contract Settlement is EIP712, Jobs {
    /// @dev What is still to be given away.
    struct Pot {
        bytes32 job;
        uint256 left; // all money of the job that is not paid yet; the next three are parts of it
        uint256 slashed; // pays appellants once over and later rounds' fees; the rest is burned
        uint256 withheld; // round 1's fees; pays later rounds after the slashes; the rest is the requester's
        uint256 bond; // of the requester
        uint256 burned;
    }

    /// @dev What the votes decided; lanes that nobody measured have no bits in `mask`.
    struct Verdict {
        uint8 round; // the deciding one, 0 if none
        bytes32 word; // its result
        bytes32 comparable; // bits of the lanes whose value is a score or BAD
    }

    /// @notice See IMarket.
    function settle(JobTerms calldata terms) external {
        bytes32 id = _hashTypedDataV4(Messages.hash(terms));
        Job storage job = _jobs[id];
        _requireState(id, job, State.Scored);
        if (job.pending != 0) revert DemandPending(id, job.pending);
        _requireAfter(job.deadline);

        Pot memory pot = Pot(id, job.locked, 0, uint256(job.committee) * job.fee, terms.bond, 0);
        Verdict memory verdict = _verdictOf(job);
        uint256 slashed = _slashRounds(pot, job, verdict);
        for (uint8 number = 1; number <= job.round; ++number) {
            _payRound(pot, job, number, verdict);
        }
        if (job.outcome == Outcome.None) job.outcome = Outcome.Measured;
        Outcome outcome = job.outcome;
        bytes32 result = _payLanes(pot, job, terms, outcome, verdict.word);
        _pay(pot, terms.requester, Purpose.Bond, pot.bond);
        _burn(pot, pot.slashed);
        _pay(pot, terms.requester, Purpose.Refund, pot.left);

        _unlock(job.locked + slashed, pot.burned);
        job.locked = 0;
        job.state = State.Settled;
        emit Moved(id, State.Settled, job.round, uint40(block.timestamp));
        emit Settled(id, outcome, result);
    }

    /* ------------------------------------------------------------------ slashes */

    /// @dev Lanes that the deciding round calls MISSING or NO_DATA compare nobody: delivery is a fact of its round, and a
    /// provider could otherwise slash honest seats of an earlier round by not delivering in a later one.
    function _verdictOf(Job storage job) private view returns (Verdict memory verdict) {
        uint8 round = _decidingRound(job);
        if (round == 0) return verdict;
        (, bytes32 word) = _tally(job, job.rounds[round]);
        uint256 comparable;
        for (uint256 lane; lane < job.lanes; ++lane) {
            if (Votes.lane(word, lane) <= Votes.BAD && (job.missing >> lane) & 1 == 0) comparable |= 1 << lane;
        }
        return Verdict(round, word, Votes.spread(comparable));
    }

    function _slashRounds(Pot memory pot, Job storage job, Verdict memory verdict) private returns (uint256) {
        for (uint8 number = 1; number <= job.round; ++number) {
            Round storage round = job.rounds[number];
            if (round.ending == Ending.Defaulted || round.firstSeats == 0) continue;
            for (uint256 place; place < round.size; ++place) {
                uint256 amount = _fineOf(job, round, place, number < verdict.round, verdict);
                if (amount != 0) _slashSeat(pot, job, number, _seatAt(round, place), amount);
            }
        }
        return pot.slashed;
    }

    /// @dev What a seat owes for its part in a round (P3, P5.4).
    function _fineOf(Job storage job, Round storage round, uint256 place, bool isEarlier, Verdict memory verdict)
        private
        view
        returns (uint256)
    {
        uint256 bit = 1 << place;
        if (round.committed & bit == 0) return 4 * uint256(job.fee);
        if (round.revealed & bit == 0) return round.ending == Ending.Uncommitted ? 0 : 8 * uint256(job.fee);
        if (!isEarlier || (round.votes[place] ^ verdict.word) & verdict.comparable == 0) return 0;
        bytes32 vote = round.votes[place];
        for (uint256 lane; lane < job.lanes; ++lane) {
            uint32 value = Votes.lane(vote, lane);
            bool differs = Votes.lane((vote ^ verdict.word) & verdict.comparable, lane) != 0;
            if (differs && value <= Votes.BAD) return _SEAT_STAKE / 2;
        }
        return 8 * uint256(job.fee);
    }

    function _slashSeat(Pot memory pot, Job storage job, uint8 number, uint32 seat, uint256 amount) private {
        if (seat == Committee.VACANT) return;
        uint256 taken = _slash(seat, amount, job.acceptBlock);
        if (taken == 0) return;
        pot.left += taken;
        pot.slashed += taken;
        emit Slashed(pot.job, seat, number, taken);
    }

    /* --------------------------------------------------------- fees and appeals */

    /// @dev A round's fees come from the requester (round 1), from an appellant who did not win, or from what earlier rounds
    /// withheld and slashed (P3.2, P3.6).
    function _payRound(Pot memory pot, Job storage job, uint8 number, Verdict memory verdict) private {
        Round storage round = job.rounds[number];
        uint256 bond = round.appealBond;
        bool isWon = bond != 0 && number <= verdict.round && _overturned(job, number - 1, verdict, round.appellant);
        if (isWon) {
            _pay(pot, round.appellant, Purpose.AppealBond, bond);
            uint256 onceOver = _min(bond, pot.slashed);
            pot.slashed -= onceOver;
            _pay(pot, round.appellant, Purpose.AppealBond, onceOver);
        }
        uint256 fee = job.fee;
        bool isFromPot = number > 1 && (bond == 0 || isWon);
        if (isFromPot) fee = _min(fee, (pot.slashed + pot.withheld) / round.size);
        uint256 fees = _payFees(pot, job, round, number, verdict, fee);
        if (isFromPot) {
            uint256 fromSlashes = _min(fees, pot.slashed);
            pot.slashed -= fromSlashes;
            pot.withheld -= fees - fromSlashes;
        } else if (bond == 0) {
            pot.withheld -= fees;
        } else {
            _payLostBond(pot, job, round, bond - fees, number <= verdict.round);
        }
    }

    /// @dev Whether what was decided differs from the round before. A lane that is MISSING now tells for the requester only:
    /// a provider would else win by its own silence, or a friend's (P3.6).
    function _overturned(Job storage job, uint8 before, Verdict memory verdict, address appellant)
        private
        view
        returns (bool)
    {
        (, bytes32 word) = _tally(job, job.rounds[before]);
        bool isRequester = appellant == job.requester;
        for (uint256 lane; lane < job.lanes && !isRequester; ++lane) {
            if (Votes.lane(verdict.word, lane) == Votes.MISSING) word = Votes.withLane(word, lane, Votes.MISSING);
        }
        return word != verdict.word;
    }

    function _payFees(
        Pot memory pot,
        Job storage job,
        Round storage round,
        uint8 number,
        Verdict memory verdict,
        uint256 fee
    ) private returns (uint256 fees) {
        if (fee == 0) return 0;
        bytes32 word = verdict.word;
        bytes32 mask = Votes.used(job.lanes);
        if (round.ending == Ending.Decided) {
            if (number != verdict.round) (, word) = _tally(job, round);
            mask &= ~Votes.spread(round.missing);
        }
        for (uint256 place; place < round.size; ++place) {
            if (!_served(round, place, number > verdict.round, word, mask)) continue;
            address cold = _coldOf(_seatAt(round, place));
            if (cold == address(0)) continue; // left before the settlement, and its fee with it
            _pay(pot, cold, Purpose.Fee, fee);
            fees += fee;
        }
    }

    /// @dev Whether a seat earned its fee: it voted as its round decided; or nothing was decided in the end and it revealed;
    /// or a party's silence ended the round, and it was drawn.
    function _served(Round storage round, uint256 place, bool isAfterVerdict, bytes32 word, bytes32 mask)
        private
        view
        returns (bool)
    {
        Ending ending = round.ending;
        if (ending == Ending.Defaulted) return round.firstSeats != 0;
        if (round.revealed & (1 << place) == 0) return false;
        if (ending == Ending.Decided) return (round.votes[place] ^ word) & mask == 0;
        return isAfterVerdict;
    }

    /// @dev What an appellant's bond leaves after the fees: back if the round decided nothing, else to the other side: of the
    /// requester the providers who submitted, of a provider the requester, of a seat nobody (P3.6).
    function _payLostBond(Pot memory pot, Job storage job, Round storage round, uint256 rest, bool isDecided) private {
        address appellant = round.appellant;
        if (!isDecided) {
            _pay(pot, appellant, Purpose.AppealBond, rest);
        } else if (appellant == job.requester) {
            uint256 share = rest / Votes.countOnes(job.submitted);
            for (uint256 lane; lane < job.lanes; ++lane) {
                if ((job.submitted >> lane) & 1 != 0) _pay(pot, job.lane[lane].provider, Purpose.AppealBond, share);
            }
        } else if (_laneOf(job, appellant) < job.lanes) {
            _pay(pot, job.requester, Purpose.AppealBond, rest);
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
        uint256 shares = outcome == Outcome.HeldOutKeysWithheld ? Votes.countOnes(job.keysWithheld) : lanes;
        uint256 bondShare = pot.bond / shares;
        for (uint8 lane; lane < lanes; ++lane) {
            _payLane(pot, job, terms, lane, Votes.lane(result, lane), bondShare);
        }
    }

    /// @dev A provider owes its half key for a paid lane only (P4.4); the terms that tell which are known here first. The vote
    /// tells, not NO_DATA of withheld keys: else who withholds them is owed more. A lane without training keys has no half.
    function _forgiveUnpaidHalves(Job storage job, JobTerms calldata terms, bytes32 word) private {
        uint8 withheld = job.halfWithheld;
        if (withheld == 0) return;
        withheld &= ~job.noKeys;
        for (uint256 lane; lane < job.lanes; ++lane) {
            uint256 payout = _payoutOf(terms, job.lane[lane].price, Votes.lane(word, lane));
            // at most 8 lanes
            if (payout == 0) withheld &= ~uint8(1 << lane);
        }
        job.halfWithheld = withheld;
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
            forfeit = _min(uint256(job.committee) * terms.fee / job.lanes, terms.collateral);
        }
        _pay(pot, terms.requester, Purpose.Collateral, forfeit);
        _pay(pot, provider, Purpose.Collateral, terms.collateral - forfeit);
        if (score == Votes.NO_DATA) {
            pot.bond -= bondShare;
            _pay(pot, provider, Purpose.Bond, bondShare);
        }

        emit LaneSettled(pot.job, lane, provider, score, payout);
        if (payout == 0) return;
        job.paid |= uint8(1) << lane;
        _emitArtifact(pot.job, terms, lane, provider, stored.word, score);
    }

    /// @dev NO_DATA is the requester's doing: the whole bid.
    function _payoutOf(JobTerms calldata terms, uint96 price, uint32 score) private pure returns (uint256) {
        if (score == Votes.NO_DATA) return price;
        return Payout.ofScoreDown(price, terms.floor, terms.target, terms.floorPay, score);
    }

    function _payWithRoyalties(Pot memory pot, JobTerms calldata terms, address provider, uint256 payout) private {
        uint256 net = payout;
        for (uint256 i; i < terms.parents.length; ++i) {
            uint256 royalty = Payout.royaltyDown(payout, terms.parents[i].bps);
            net -= royalty;
            _pay(pot, terms.parents[i].payee, Purpose.Royalty, royalty);
        }
        _pay(pot, provider, Purpose.Payout, net);
    }

    function _emitArtifact(bytes32 id, JobTerms calldata terms, uint8 lane, address maker, bytes32 word, uint32 score)
        private
    {
        emit Artifact({
            artifact: keccak256(abi.encode(id, lane)),
            job: id,
            maker: maker,
            owner: terms.requester,
            lane: lane,
            word: word,
            taskHash: terms.taskHash,
            dataRoot: terms.dataRoot,
            score: score,
            measured: score <= Votes.MAX_SCORE
        });
    }

    /// @dev Everybody gets back what they put in, but who never submitted (P3.2). Withheld training keys cost the bond, in
    /// equal parts for those who asked, and excuse every provider (P4.5).
    function _returnCollaterals(Pot memory pot, Job storage job, JobTerms calldata terms, Outcome outcome) private {
        bool isWithheld = outcome == Outcome.TrainingKeysWithheld;
        uint256 share = isWithheld ? pot.bond / Votes.countOnes(job.demanders) : 0;
        for (uint256 lane; lane < job.lanes; ++lane) {
            address provider = job.lane[lane].provider;
            bool isAbsent = (job.missing >> lane) & 1 != 0;
            _pay(pot, isAbsent ? terms.requester : provider, Purpose.Collateral, terms.collateral);
            if ((job.demanders >> lane) & 1 != 0 && isWithheld) {
                pot.bond -= share;
                _pay(pot, provider, Purpose.Bond, share);
            }
        }
    }

    /* ------------------------------------------------------------------- money */

    function _pay(Pot memory pot, address to, Purpose purpose, uint256 amount) private {
        if (amount == 0) return;
        pot.left -= amount;
        _credit(to, amount);
        emit Paid(pot.job, to, purpose, amount);
    }

    function _burn(Pot memory pot, uint256 amount) private {
        if (amount == 0) return;
        pot.left -= amount;
        pot.burned += amount;
        emit Paid(pot.job, address(0), Purpose.Burned, amount);
    }

    function _min(uint256 a, uint256 b) private pure returns (uint256) {
        return a < b ? a : b;
    }
}
