// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Votes} from "./libraries/Votes.sol";
import {Rounds} from "./Rounds.sol";

/// @title Demands: "was it delivered?" as a fact of the chain (P4.5)
/// @dev
/// ```
///  stage begins                half                    end
///      |──── demands ───────────┤                       |
///               demand ──── releaseWindow ────▶ deadline: `close` decides about who is silent
///               demand ── answer ▶ the stage's window begins anew (Committing, Running, Scored alike)
/// ```
abstract contract Demands is Rounds {
    /// @notice See IMarket.
    function demand(bytes32 id, uint8 party, uint256 place) external {
        Job storage job = _jobs[id];
        if (party != _REQUESTER && party >= job.lanes) revert BadParty(party);
        uint8 demander = _requireEntitled(id, job, party, place);
        _requireBefore(job.deadline);
        uint16 bit = uint16(1) << party;
        bool joins = job.pending & bit & Votes.REQUESTER_BIT != 0 && job.demanders & demander == 0 && demander != 0;
        // Else one's puppet could demand at the last second, and shut the other providers out of the bond (P4.5).
        uint256 half = _stageStart(job) + _window(job, job.state) / 2;
        if (block.timestamp > half && !joins) revert DemandTooLate(block.timestamp, half);
        if (job.demanded & bit != 0 && !joins) revert AlreadyDemanded(id, party);
        job.demanders |= demander;
        if (!joins) {
            if (job.pending == 0) job.stageEnd = job.deadline;
            job.demanded |= bit;
            job.pending |= bit;
            _setDeadline(id, job, uint40(block.timestamp) + job.releaseWindow);
        }
        emit Demanded(id, party, msg.sender, job.deadline);
    }

    /// @notice See IMarket.
    function answer(bytes32 id, uint8 party, bytes calldata envelopes) external {
        Job storage job = _jobs[id];
        uint16 bit = party <= _REQUESTER ? uint16(1) << party : 0;
        uint16 pending = job.pending;
        if (pending & bit == 0) revert NothingDemanded(id, party);
        if (msg.sender != (party == _REQUESTER ? job.requester : job.lane[party].provider)) {
            revert NotParty(msg.sender, id);
        }
        _requireBefore(job.deadline);
        pending &= ~bit;
        job.pending = pending;
        if (pending == 0) _enter(id, job, job.state);
        emit Answered(id, party, envelopes, job.deadline);
    }

    /// @notice See IMarket.
    function close(bytes32 id) external {
        Job storage job = _jobs[id];
        State state = job.state;
        if (state == State.Committing) return _closeCommitting(id, job);
        bool demandRuns = state == State.Scored && job.pending != 0;
        if (state != State.Running && state != State.Revealing && !demandRuns) revert WrongState(id, state);
        _requireAfter(job.deadline);
        if (state == State.Running) _closeRunning(id, job);
        else if (state == State.Revealing) _closeRevealing(id, job);
        else _defaultWhileScored(id, job);
    }

    /// @dev Who is absent forfeits; with no submission at all, or without training keys, the job is over.
    function _closeRunning(bytes32 id, Job storage job) private {
        _emitUnanswered(id, job.pending);
        if (job.pending != 0) return _finish(id, job, Outcome.TrainingKeysWithheld);
        job.missing = _allLanes(job) & ~job.submitted;
        if (job.submitted == 0) _finish(id, job, Outcome.Unsubmitted);
        else _startRound(id, job);
    }

    /// @dev `settle` pays the consequences. The challenge ends when it would have, so silence shortens nobody's appeal.
    function _defaultWhileScored(bytes32 id, Job storage job) private {
        uint16 pending = job.pending;
        _emitUnanswered(id, pending);
        job.halfWithheld |= uint8(pending); // lanes only
        if (pending & Votes.REQUESTER_BIT != 0) job.keysWithheld = job.demanders;
        job.pending = 0;
        _setDeadline(id, job, job.stageEnd);
    }

    /// @dev Reverts unless the caller may ask `party` in this stage. Returns the caller's lane bit, 0 if it is no provider.
    function _requireEntitled(bytes32 id, Job storage job, uint8 party, uint256 place) private view returns (uint8) {
        State state = job.state;
        if (state != State.Running && state != State.Committing && state != State.Scored) revert WrongState(id, state);
        if (party != _REQUESTER && (job.missing >> party) & 1 != 0) revert BadParty(party);
        if (state == State.Committing) {
            if (!_isSeated(job.rounds[job.round], place, msg.sender)) revert NotSeat(msg.sender, place);
            return 0;
        }
        if (party != _REQUESTER) {
            if (state == State.Running) revert BadParty(party); // a provider owes nothing yet
            if (msg.sender != job.requester) revert NotRequester(msg.sender, job.requester);
            return 0;
        }
        uint8 lane = _laneOf(job, msg.sender);
        if (lane == job.lanes || (job.missing >> lane) & 1 != 0) revert NotParty(msg.sender, id);
        return uint8(1) << lane;
    }
}
