// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {Votes} from "./libraries/Votes.sol";
import {Rounds} from "./Rounds.sol";
import {Signatures} from "./Signatures.sol";

/// @title Demands: "was it delivered?" as a fact of the chain (P4.5)
/// @dev
/// ```
///  stage begins                half                    end
///      |──── demands ───────────┤                       |
///               demand ──── releaseWindow ────▶ deadline: `close` decides about who is silent
///               demand ── answer ▶ the stage's window begins anew (Committing, Running, Scored alike)
/// ```
abstract contract Demands is IMarketBack, Signatures, Rounds {
    /// @inheritdoc IMarketBack
    function demand(JobTerms calldata terms, uint8 party, uint256 place) external {
        bytes32 id = _idOf(terms);
        Job storage job = _jobs[id];
        if (party != _REQUESTER && party >= job.lanes) revert BadParty(party);
        uint8 demander = _requireEntitled(id, job, terms, party, place);
        _requireBefore(job.deadline);
        if (job.wasAsked && _joins(job.asked, party, demander)) {
            job.asked.demanders |= demander;
        } else {
            _ask(id, job, terms, party, demander);
        }
        emit Demanded(id, party, msg.sender, job.deadline);
    }

    /// @inheritdoc IMarketBack
    function answer(JobTerms calldata terms, uint8 party, bytes calldata envelopes) external {
        bytes32 id = _idOf(terms);
        Job storage job = _jobs[id];
        uint16 bit = party <= _REQUESTER ? uint16(1) << party : 0;
        uint16 pending = _pending(job);
        if (pending & bit == 0) revert NothingDemanded(id, party);
        if (msg.sender != (party == _REQUESTER ? terms.requester : job.lane[party].provider)) {
            revert NotParty(msg.sender, id);
        }
        _requireBefore(job.deadline);
        pending &= ~bit;
        job.asked.pending = pending;
        if (pending == 0) _enter(id, job, job.state, _windowOf(job, terms));
        emit Answered(id, party, envelopes, job.deadline);
    }

    /// @inheritdoc IMarketBack
    function close(bytes32 id) external {
        Job storage job = _jobs[id];
        State state = job.state;
        if (state == State.Committing) return _closeCommitting(id, job);
        bool demandRuns = state == State.Scored && _pending(job) != 0;
        if (state != State.Running && state != State.Revealing && !demandRuns) revert WrongState(id, state);
        _requireAfter(job.deadline);
        if (state == State.Running) _closeRunning(id, job);
        else if (state == State.Revealing) _closeRevealing(id, job);
        else _defaultWhileScored(id, job);
    }

    /// @dev A provider may join a pending demand against the requester until its deadline. Else one's puppet could demand at
    /// the last second, and shut the other providers out of the bond.
    function _joins(Asked storage asked, uint8 party, uint8 demander) private view returns (bool) {
        return party == _REQUESTER && asked.pending & Votes.REQUESTER_BIT != 0 && asked.demanders & demander == 0
            && demander != 0;
    }

    function _ask(bytes32 id, Job storage job, JobTerms calldata terms, uint8 party, uint8 demander) private {
        Asked storage asked = job.asked;
        job.wasAsked = true;
        uint40 end = asked.pending == 0 ? job.deadline : asked.stageEnd;
        uint256 window = _windowOf(job, terms);
        uint256 half = end - window + window / 2;
        if (block.timestamp > half) revert DemandTooLate(block.timestamp, half);
        uint16 bit = uint16(1) << party;
        if (asked.demanded & bit != 0) revert AlreadyDemanded(id, party);
        asked.stageEnd = end;
        asked.demanded |= bit;
        asked.pending |= bit;
        asked.demanders |= demander;
        _setDeadline(id, job, block.timestamp + terms.releaseWindow);
    }

    /// @dev How long the present stage lasts. Running, Committing and Scored know demands.
    function _windowOf(Job storage job, JobTerms calldata terms) private view returns (uint256) {
        if (job.state == State.Running) return terms.workWindow;
        return job.state == State.Committing ? terms.commitWindow : terms.challengeWindow;
    }

    /// @dev Who is absent forfeits; with no submission at all, or without training keys, the job is over.
    function _closeRunning(bytes32 id, Job storage job) private {
        uint16 pending = _pending(job);
        _emitUnanswered(id, pending);
        if (pending != 0) return _finish(id, job, Outcome.TrainingKeysWithheld);
        job.missing = _allLanes(job) & ~job.submitted;
        if (job.submitted == 0) _finish(id, job, Outcome.Unsubmitted);
        else _startRound(id, job);
    }

    /// @dev `settle` pays the consequences. The challenge ends when it would have, so silence shortens nobody's appeal.
    function _defaultWhileScored(bytes32 id, Job storage job) private {
        Asked storage asked = job.asked;
        uint16 pending = asked.pending;
        _emitUnanswered(id, pending);
        asked.halfWithheld |= uint8(pending); // lanes only
        if (pending & Votes.REQUESTER_BIT != 0) asked.keysWithheld = asked.demanders;
        asked.pending = 0;
        _setDeadline(id, job, asked.stageEnd);
    }

    /// @dev Reverts unless the caller may ask `party` in this stage. Returns the caller's lane bit, 0 if it is no provider.
    function _requireEntitled(bytes32 id, Job storage job, JobTerms calldata terms, uint8 party, uint256 place)
        private
        view
        returns (uint8)
    {
        State state = job.state;
        if (state != State.Running && state != State.Committing && state != State.Scored) revert WrongState(id, state);
        if (party != _REQUESTER && (job.missing >> party) & 1 != 0) revert BadParty(party);
        if (state == State.Committing) {
            _requireSeated(job, place, msg.sender);
            return 0;
        }
        if (party != _REQUESTER) {
            if (state == State.Running) revert BadParty(party); // a provider owes nothing yet
            if (msg.sender != terms.requester) revert NotRequester(msg.sender, terms.requester);
            return 0;
        }
        uint8 lane = _laneOf(job, msg.sender);
        if (lane == job.lanes || (job.missing >> lane) & 1 != 0) revert NotParty(msg.sender, id);
        return uint8(1) << lane;
    }
}
