// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IBeacon} from "./interfaces/IBeacon.sol";
import {Committee} from "./libraries/Committee.sol";
import {Votes} from "./libraries/Votes.sol";
import {Jobs} from "./Jobs.sol";

/// @title Rounds: how a committee is drawn, and what ends its round (P3, P5.3)
abstract contract Rounds is Jobs {
    /// @dev The seed block must be unknown when a round begins, and old enough for a hash soon after.
    uint256 private constant SEED_DELAY = 2;

    address internal immutable _BEACON;

    constructor(address beacon) {
        _BEACON = beacon;
    }

    /// @dev The next round begins; what was demanded of anybody belongs to the stage before.
    function _startRound(bytes32 id, Job storage job) internal {
        uint8 number = job.round + 1;
        if (number > 1) _file(job);
        if (job.wasAsked) _forgetDemands(job);
        (job.round, job.progress) = (number, Progress.Undrawn);
        job.seedBlock = uint32(block.number + SEED_DELAY); // see Job
        _enter(id, job, State.Committing, job.commitWindow);
    }

    /// @dev The round that is over makes room for the next one.
    function _file(Job storage job) private {
        bytes32 result = job.progress == Progress.Decided ? job.word : bytes32(0);
        job.past[job.round] = Round(job.progress, job.missing, job.committed, job.seats, job.votes, result);
        (job.committed, job.seats, job.votes, job.word) = (0, 0, 0, 0);
    }

    /// @dev A lane without keys has been asked for its weights, so to speak (P4.5).
    function _forgetDemands(Job storage job) private {
        Asked storage asked = job.asked;
        asked.demanded = asked.noKeys;
        (asked.pending, asked.demanders, asked.halfWithheld, asked.keysWithheld) = (0, 0, 0, 0);
    }

    function _enterRevealing(bytes32 id, Job storage job) internal {
        if (job.wasAsked) job.asked.pending = 0; // all seats have what they need, or the deadline has dealt with who was silent
        _enter(id, job, State.Revealing, job.revealWindow);
    }

    /// @dev From the deadline of Committing on. It draws nobody: who could not see a draw in time is not absent (P5.3).
    function _closeCommitting(bytes32 id, Job storage job) internal {
        _requireAfter(job.deadline);
        if (job.progress == Progress.Undrawn) _reseed(id, job);
        else if (job.progress == Progress.Reseeded) _endRound(id, job, Progress.Reseeded);
        else if (_pending(job) != 0) _defaultWhileCommitting(id, job);
        else if (_hasEnoughCommits(job)) _enterRevealing(id, job);
        else _endRound(id, job, Progress.Uncommitted);
    }

    /// @dev Whether nobody can commit any more, and a majority is still possible.
    function _hasEnoughCommits(Job storage job) internal view returns (bool) {
        if (block.timestamp < job.deadline || _pending(job) != 0) return false;
        return Votes.countOnes(job.committed) > _size(job) / 2;
    }

    /// @dev All committed votes are open, or it is too late for the others.
    function _closeRevealing(bytes32 id, Job storage job) internal {
        (bool isDecided, bytes32 result) = _tally(job);
        if (!isDecided) return _endRound(id, job, Progress.Tied);
        (job.progress, job.word) = (Progress.Decided, result);
        emit RoundScored(id, job.round, result);
        _enterScored(id, job);
    }

    function _tally(Job storage job) private view returns (bool, bytes32) {
        (uint8 number, uint96 inlined) = (job.round, job.votes);
        uint256 revealed = _revealed(job);
        bytes32[] memory votes = new bytes32[](Votes.countOnes(revealed));
        uint256 next;
        for (uint256 place; revealed != 0; (revealed >>= 1, ++place)) {
            if (revealed & 1 != 0) (, votes[next++]) = _voteAt(job, number, inlined, place);
        }
        uint16 countable = job.wasAsked ? job.asked.demanded : 0;
        return Votes.tally(votes, (_size(job) + 1) / 2, job.lanes, countable, job.missing);
    }

    /// @dev One bit for every place of the present round whose vote is open.
    function _revealed(Job storage job) internal view returns (uint256 mask) {
        (uint256 size, uint8 number, uint96 votes) = (_size(job), job.round, job.votes);
        for (uint256 place; place < size; ++place) {
            (bool isRevealed,) = _voteAt(job, number, votes, place);
            if (isRevealed) mask |= 1 << place;
        }
    }

    /// @dev A new challenge, in which everybody may demand once again.
    function _enterScored(bytes32 id, Job storage job) private {
        if (job.wasAsked) (job.asked.demanded, job.asked.pending, job.asked.demanders) = (0, 0, 0);
        _enter(id, job, State.Scored, job.challengeWindow);
    }

    /// @dev A round without a result: the next one; after the last, the result before stands, if there is one (P3.2).
    function _endRound(bytes32 id, Job storage job, Progress progress) private {
        job.progress = progress;
        if (job.round < _LAST_ROUND) _startRound(id, job);
        else if (_decidingRound(job) != 0) _enterScored(id, job);
        else _finish(id, job, Outcome.Void);
    }

    /// @dev What silence means while Committing (P4.5): a provider's lane is MISSING; the requester's ends the job.
    function _defaultWhileCommitting(bytes32 id, Job storage job) private {
        uint16 pending = job.asked.pending;
        _emitUnanswered(id, pending);
        // the requester's bit is dropped on purpose
        uint8 missing = job.missing | uint8(pending);
        job.missing = missing;
        job.asked.pending = 0;
        uint8 delivered = _allLanes(job) & ~missing;
        if (delivered != 0 && pending & Votes.REQUESTER_BIT == 0) {
            return _enter(id, job, State.Committing, job.commitWindow);
        }
        job.progress = Progress.Defaulted;
        job.asked.keysWithheld = delivered;
        _finish(id, job, delivered != 0 ? Outcome.HeldOutKeysWithheld : Outcome.Measured);
    }

    function _emitUnanswered(bytes32 id, uint16 pending) internal {
        for (uint8 party; party <= _REQUESTER; ++party) {
            if (pending & (uint16(1) << party) != 0) emit Unanswered(id, party);
        }
    }

    /* ----------------------------------------------------------------------- draw */

    /// @dev Store the drawn seats; the seed itself is the chain's to remember, and in the event. False if the hash is gone.
    function _pin(bytes32 id, Job storage job) internal returns (bool) {
        bytes32 seed = _seedOf(job.seedBlock);
        if (seed == 0) return false;
        uint8 number = job.round;
        uint32[] memory seats = _drawFor(id, job, seed);
        uint256 first;
        for (uint256 place; place < seats.length; ++place) {
            uint256 seat = seats[place];
            if (place < _INLINE) first |= seat << (32 * place);
            else job.more[_seatKey(number, place)] |= seat << (32 * ((place - _INLINE) % 8));
        }
        (job.progress, job.seats) = (Progress.Drawn, uint96(first)); // three seats of 32 bits
        emit Drawn(id, number, seed, seats);
        return true;
    }

    /// @dev Once a round, if nobody pinned in the window, or while the hash was known (P5.3); the window begins anew.
    function _reseed(bytes32 id, Job storage job) internal {
        uint256 seedBlock = block.number + SEED_DELAY;
        (job.progress, job.seedBlock) = (Progress.Reseeded, uint32(seedBlock)); // see Job
        emit Reseeded(id, job.round, uint40(seedBlock));
        _enter(id, job, State.Committing, job.commitWindow);
    }

    /// @dev Zero if the hash is gone, or a beacon fails: it must not trap money (P1.1).
    function _seedOf(uint256 seedBlock) internal view returns (bytes32) {
        if (block.number <= seedBlock) revert SeedNotReady(block.number, seedBlock);
        if (_BEACON == address(0)) return blockhash(seedBlock);
        try IBeacon(_BEACON).seed(seedBlock) returns (bytes32 seed) {
            return seed;
        } catch {
            return 0;
        }
    }

    function _drawFor(bytes32 id, Job storage job, bytes32 seed) internal view returns (uint32[] memory) {
        uint8 number = job.round;
        uint256 size = Committee.sizeOf(job.committee, number);
        return _draw(seed, id, number, size, job.seatCount, job.acceptBlock, job.seedBlock);
    }

    /// @dev One bit for every place that is not vacant. The draw fills places from the first.
    function _drawnMask(Job storage job) internal view returns (uint256) {
        uint256 drawn = _size(job);
        while (drawn != 0 && _seatAt(job, drawn - 1) == Committee.VACANT) {
            --drawn;
        }
        return (uint256(1) << drawn) - 1;
    }
}
