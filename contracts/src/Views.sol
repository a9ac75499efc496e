// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {Committee} from "./libraries/Committee.sol";
import {Messages} from "./libraries/Messages.sol";
import {Ballots} from "./Ballots.sol";
import {Rounds} from "./Rounds.sol";
import {Rules} from "./Rules.sol";
import {Signatures} from "./Signatures.sol";

/// @title Views: what readers see of a job
abstract contract Views is IMarketBack, Signatures, Rules, Rounds, Ballots {
    /// @inheritdoc IMarketBack
    function NO_KEYS() external pure returns (bytes32) {
        return _NO_KEYS;
    }

    /// @inheritdoc IMarketBack
    function REQUESTER() external pure returns (uint8) {
        return _REQUESTER;
    }

    /// @inheritdoc IMarketBack
    function beacon() external view returns (address) {
        return _BEACON;
    }

    /// @inheritdoc IMarketBack
    function minimumFee() external view returns (uint96) {
        return _MINIMUM_FEE;
    }

    /// @inheritdoc IMarketBack
    function limits() external view returns (Limits memory) {
        return _limits();
    }

    /// @inheritdoc IMarketBack
    function hashTerms(JobTerms calldata terms) external view returns (bytes32 id) {
        return _idOf(terms);
    }

    /// @inheritdoc IMarketBack
    function hashBid(Bid calldata bid) external view returns (bytes32 digest) {
        return _typed(Messages.hash(bid));
    }

    /// @inheritdoc IMarketBack
    function bidSpent(address provider, uint256 nonce) external view returns (bool) {
        return _isSpent(provider, nonce);
    }

    /// @inheritdoc IMarketBack
    function getJob(bytes32 id) external view returns (JobView memory) {
        Job storage job = _jobs[id];
        Asked memory asked = job.asked;
        return JobView({
            state: job.state,
            outcome: job.outcome,
            lanes: job.lanes,
            committee: job.committee,
            round: job.round,
            deadline: job.deadline,
            stageStart: _stageStart(job, asked),
            acceptBlock: job.acceptBlock,
            seedBlock: job.seedBlock,
            seatCount: job.seatCount,
            submitted: job.submitted,
            missing: job.missing | asked.halfWithheld,
            demanded: asked.demanded,
            pending: asked.pending,
            demanders: asked.demanders,
            result: _standing(job)
        });
    }

    /// @dev When the present window began; a pending demand has displaced its end.
    function _stageStart(Job storage job, Asked memory asked) private view returns (uint40) {
        State state = job.state;
        if (state < State.Committing || state == State.Settled || job.outcome != Outcome.None) return 0;
        uint40 window = job.challengeWindow;
        if (state == State.Committing) window = job.commitWindow;
        if (state == State.Revealing) window = job.revealWindow;
        return (asked.pending != 0 ? asked.stageEnd : job.deadline) - window;
    }

    /// @inheritdoc IMarketBack
    function heldFor(JobTerms calldata terms) external view returns (uint256) {
        return _heldFor(_jobs[_idOf(terms)], terms);
    }

    /// @inheritdoc IMarketBack
    function getLane(bytes32 id, uint8 lane) external view returns (address provider, uint96 price, bytes32 word) {
        Job storage job = _jobs[id];
        Lane storage stored = job.lane[lane];
        return (stored.provider, job.state == State.Settled ? 0 : stored.price, stored.word);
    }

    /// @inheritdoc IMarketBack
    function settledLane(bytes32 id, uint8 lane)
        external
        view
        returns (State state, Outcome outcome, address provider, bytes32 word, uint32 score, bool paid)
    {
        Job storage job = _jobs[id];
        if (lane >= job.lanes) return (job.state, job.outcome, address(0), 0, 0, false);
        Lane storage stored = job.lane[lane];
        uint96 end = stored.price; // see Lane
        return (job.state, job.outcome, stored.provider, stored.word, uint32(end), end >> 32 == 1);
    }

    /// @inheritdoc IMarketBack
    function getVote(bytes32 id, uint8 round, uint256 place) external view returns (bytes32 vote) {
        Ballot memory ballot = _ballotOf(_jobs[id], round);
        if (place < ballot.votes.length) vote = ballot.votes[place];
    }

    /// @inheritdoc IMarketBack
    function committee(bytes32 id) external view returns (bytes32 seed, uint32[] memory seats) {
        Job storage job = _jobs[id];
        if (job.round == 0) revert WrongState(id, job.state);
        seed = _seedOf(job.seedBlock);
        if (job.progress >= Progress.Drawn) return (seed, _ballotOf(job, job.round).seats);
        if (seed == 0) revert SeedGone(job.seedBlock);
        seats = _drawFor(id, job, seed);
    }

    /// @inheritdoc IMarketBack
    function getRound(bytes32 id, uint8 number) external view returns (RoundView memory) {
        Job storage job = _jobs[id];
        Ballot memory ballot = _ballotOf(job, number);
        bool isPresent = number == job.round && number != 0;
        return RoundView({
            size: number == 0 || number > job.round ? 0 : uint8(Committee.sizeOf(job.committee, number)),
            seedBlock: isPresent ? job.seedBlock : 0,
            seed: isPresent && ballot.seats.length != 0 ? _seedOf(job.seedBlock) : bytes32(0),
            seats: ballot.seats,
            // at most 31 places
            committed: uint32(ballot.committed),
            revealed: uint32(ballot.revealed),
            result: ballot.result,
            appellant: job.appeals[number].appellant,
            appealBond: job.appeals[number].bond
        });
    }
}
