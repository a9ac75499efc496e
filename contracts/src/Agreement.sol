// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {Messages} from "./libraries/Messages.sol";
import {Terms} from "./libraries/Terms.sol";
import {Votes} from "./libraries/Votes.sol";
import {Ballots} from "./Ballots.sol";
import {Payments} from "./Payments.sol";
import {Signatures} from "./Signatures.sol";

/// @title Agreement: the cooperative road: what requester and all providers signed is the outcome (P6.1)
/// @dev Nobody is slashed. Seats that committed have f each, everybody else what they put in, the requester what is left.
abstract contract Agreement is IMarketBack, Signatures, Ballots, Payments {
    /// @inheritdoc IMarketBack
    function agree(JobTerms calldata terms, AgreedLane[] calldata lanes, uint64 validUntil, bytes[] calldata signatures)
        external
    {
        bytes32 id = _idOf(terms);
        Job storage job = _jobs[id];
        State state = job.state;
        if (state == State.Settled) revert WrongState(id, state);
        _requireBefore(uint256(validUntil) + 1);
        _requireAgreed(id, terms, lanes, validUntil, signatures);

        Pot memory pot = Pot(id, state == State.None ? _begin(id, terms, lanes) : _heldFor(job, terms), 0, 0, 0);
        if (state > State.Open) {
            _requireBound(id, job, lanes);
            _payRounds(pot, job, terms);
            _returnCollaterals(pot, job, terms);
            job.word = 0;
            if (job.wasAsked) job.asked.pending = 0; // an answer would begin the stage anew
        }
        bytes32 result;
        for (uint8 lane; lane < lanes.length; ++lane) {
            _payAgreed(pot, job, terms, lane, lanes[lane]);
            result = Votes.withLane(result, lane, lanes[lane].score);
        }
        _pay(pot, terms.requester, Purpose.Refund, pot.left);
        // at most terms.lanes
        (job.state, job.outcome, job.lanes) = (State.Settled, Outcome.Agreed, uint8(lanes.length));
        emit Settled(id, Outcome.Agreed, result);
    }

    /// @dev The requester signs first, then every lane's provider.
    function _requireAgreed(
        bytes32 id,
        JobTerms calldata terms,
        AgreedLane[] calldata lanes,
        uint64 validUntil,
        bytes[] calldata signatures
    ) private view {
        uint256 count = lanes.length;
        if (count == 0 || count > terms.lanes) revert WrongBidCount(count, terms.lanes);
        if (signatures.length != count + 1) revert NotAll(signatures.length, count + 1);
        bytes32 outcome = Messages.outcome(id, validUntil, lanes);
        _requireSigned(terms.requester, outcome, signatures[0]);
        for (uint256 lane; lane < count; ++lane) {
            _requireSigned(lanes[lane].provider, outcome, signatures[lane + 1]);
        }
    }

    /// @dev A job that was never posted: its terms are told now, and the requester puts in just what it pays.
    function _begin(bytes32 id, JobTerms calldata terms, AgreedLane[] calldata lanes) private returns (uint256 total) {
        Terms.checkShape(terms);
        emit Posted(id, terms.requester, terms);
        for (uint256 lane; lane < lanes.length; ++lane) {
            total += lanes[lane].payout;
        }
        _debit(terms.requester, total);
        emit Locked(id, terms.requester, Purpose.Refund, total);
    }

    /// @dev Who is bound stays bound, and what was submitted stays submitted.
    function _requireBound(bytes32 id, Job storage job, AgreedLane[] calldata lanes) private view {
        if (lanes.length != job.lanes) revert WrongBidCount(lanes.length, job.lanes);
        for (uint8 lane; lane < lanes.length; ++lane) {
            Lane storage stored = job.lane[lane];
            if (stored.provider != lanes[lane].provider) revert NotProvider(lanes[lane].provider, lane);
            if (stored.word != 0 && stored.word != lanes[lane].word) revert AlreadySubmitted(id, lane);
        }
    }

    /// @dev The requester bears the fees of all rounds: it has signed for them. Appellants have their bonds back.
    function _payRounds(Pot memory pot, Job storage job, JobTerms calldata terms) private {
        for (uint8 number = 1; number <= job.round; ++number) {
            Ballot memory round = _ballotOf(job, number);
            for (uint256 place; place < round.seats.length; ++place) {
                address cold = (round.committed >> place) & 1 != 0 ? _coldOf(round.seats[place]) : address(0);
                if (cold != address(0)) _payBack(pot, cold, Purpose.Fee, terms.fee);
            }
            _payBack(pot, job.appeals[number].appellant, Purpose.AppealBond, job.appeals[number].bond);
        }
    }

    function _returnCollaterals(Pot memory pot, Job storage job, JobTerms calldata terms) private {
        for (uint256 lane; lane < job.lanes; ++lane) {
            _payBack(pot, job.lane[lane].provider, Purpose.Collateral, terms.collateral);
        }
    }

    /// @dev The fees of later rounds may be more than the job is worth: other jobs' money is out of reach.
    function _payBack(Pot memory pot, address to, Purpose purpose, uint256 amount) private {
        if (amount > pot.left) revert JobTooPoor(pot.job, pot.left, amount);
        _pay(pot, to, purpose, amount);
    }

    function _payAgreed(Pot memory pot, Job storage job, JobTerms calldata terms, uint8 index, AgreedLane calldata lane)
        private
    {
        if (lane.score > Votes.NO_DATA) revert VoteOutOfRange(index, lane.score);
        if (lane.payout > pot.left) revert InsufficientFree(terms.requester, pot.left, lane.payout);
        _payWithRoyalties(pot, terms, lane.provider, lane.payout);
        Lane storage stored = job.lane[index];
        (stored.provider, stored.word) = (lane.provider, lane.word);
        _closeLane(stored, lane.score, lane.payout != 0);
        emit LaneSettled(pot.job, index, lane.provider, lane.score, lane.payout);
        if (lane.payout == 0) return;
        _emitArtifact(pot.job, terms, index, Made(lane.provider, lane.word, lane.score, false));
    }
}
