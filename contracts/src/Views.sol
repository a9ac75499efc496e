// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarket} from "./interfaces/IMarket.sol";
import {Votes} from "./libraries/Votes.sol";
import {Rounds} from "./Rounds.sol";

/// @title Views: what readers see of a job
abstract contract Views is IMarket, Rounds {
    /// @inheritdoc IMarket
    function NO_KEYS() external pure returns (bytes32) {
        return _NO_KEYS;
    }

    /// @inheritdoc IMarket
    function REQUESTER() external pure returns (uint8) {
        return _REQUESTER;
    }

    /// @inheritdoc IMarket
    function beacon() external view returns (address) {
        return _BEACON;
    }

    /// @inheritdoc IMarket
    function getJob(bytes32 id) external view returns (JobView memory) {
        Job storage job = _jobs[id];
        return JobView({
            state: job.state,
            outcome: job.outcome,
            requester: job.requester,
            lanes: job.lanes,
            committee: job.committee,
            round: job.round,
            deadline: job.deadline,
            stageStart: _stageStart(job),
            acceptBlock: job.acceptBlock,
            seedBlock: job.round == 0 ? 0 : job.rounds[job.round].seedBlock,
            seatCount: job.seatCount,
            fee: job.fee,
            locked: job.locked,
            submitted: job.submitted,
            missing: job.missing | job.halfWithheld,
            demanded: job.demanded,
            pending: job.pending,
            demanders: job.demanders,
            result: job.state < State.Scored ? bytes32(0) : _resultOf(job)
        });
    }

    /// @inheritdoc IMarket
    function getLane(bytes32 id, uint8 lane) external view returns (address provider, uint96 price, bytes32 word) {
        Lane storage stored = _jobs[id].lane[lane];
        return (stored.provider, stored.price, stored.word);
    }

    /// @inheritdoc IMarket
    function settledLane(bytes32 id, uint8 lane)
        external
        view
        returns (State state, Outcome outcome, address provider, bytes32 word, uint32 score, bool paid)
    {
        Job storage job = _jobs[id];
        Lane storage stored = job.lane[lane];
        paid = (job.paid >> lane) & 1 != 0;
        return (job.state, job.outcome, stored.provider, stored.word, Votes.lane(_resultOf(job), lane), paid);
    }

    /// @inheritdoc IMarket
    function getVote(bytes32 id, uint8 round, uint256 place) external view returns (bytes32 commitOrVote) {
        return _jobs[id].rounds[round].votes[place];
    }

    /// @inheritdoc IMarket
    function committee(bytes32 id) external view returns (bytes32 seed, uint32[] memory seats) {
        Job storage job = _jobs[id];
        if (job.round == 0) revert WrongState(id, job.state);
        Round storage round = job.rounds[job.round];
        if (round.firstSeats != 0) return (_seedOf(round.seedBlock), _seatsOf(round));
        seed = _seedOf(round.seedBlock);
        if (seed == 0) revert SeedGone(round.seedBlock);
        seats = _drawFor(id, job, round, seed);
    }

    /// @inheritdoc IMarket
    function getRound(bytes32 id, uint8 number) external view returns (RoundView memory) {
        Job storage job = _jobs[id];
        Round storage round = job.rounds[number];
        bool pinned = round.firstSeats != 0;
        bytes32 result;
        if (round.ending == Ending.Decided) (, result) = _tally(job, round);
        return RoundView({
            size: round.size,
            seedBlock: round.seedBlock,
            seed: pinned ? _seedOf(round.seedBlock) : bytes32(0),
            seats: pinned ? _seatsOf(round) : new uint32[](0),
            committed: round.committed,
            revealed: round.revealed,
            result: result,
            appellant: round.appellant,
            appealBond: round.appealBond
        });
    }
}
