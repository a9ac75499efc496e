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
        uint8 number = ++job.round;
        job.demanded = job.noKeys; // a lane without keys has been asked for its weights, so to speak (P4.5)
        (job.pending, job.demanders, job.halfWithheld, job.keysWithheld) = (0, 0, 0, 0);
        Round storage round = job.rounds[number];
        round.seedBlock = uint40(block.number + SEED_DELAY);
        round.size = Committee.sizeOf(job.committee, number);
        _enter(id, job, State.Committing);
    }

    function _enterRevealing(bytes32 id, Job storage job) internal {
        job.pending = 0; // all seats have what they need, or the deadline has dealt with who was silent
        _enter(id, job, State.Revealing);
    }

    /// @dev From the deadline of Committing on. It draws nobody: who could not see a draw in time is not absent (P5.3).
    function _closeCommitting(bytes32 id, Job storage job) internal {
        _requireAfter(job.deadline);
        Round storage round = job.rounds[job.round];
        if (round.firstSeats == 0) {
            if (round.reseeded) _endRound(id, job, round, Ending.Uncommitted);
            else _reseed(id, job, round);
        } else if (job.pending != 0) {
            _defaultWhileCommitting(id, job, round);
        } else if (_hasEnoughCommits(job, round)) {
            _enterRevealing(id, job);
        } else {
            _endRound(id, job, round, Ending.Uncommitted);
        }
    }

    /// @dev Whether nobody can commit any more, and a majority is still possible.
    function _hasEnoughCommits(Job storage job, Round storage round) internal view returns (bool) {
        if (block.timestamp < job.deadline || job.pending != 0) return false;
        return Votes.countOnes(round.committed) > round.size / 2;
    }

    /// @dev All committed votes are open, or it is too late for the others.
    function _closeRevealing(bytes32 id, Job storage job) internal {
        uint8 number = job.round;
        Round storage round = job.rounds[number];
        round.countable = job.demanded;
        round.missing = job.missing;
        (bool decided, bytes32 result) = _tally(job, round);
        if (!decided) return _endRound(id, job, round, Ending.Tied);
        round.ending = Ending.Decided;
        emit RoundScored(id, number, result);
        _enterScored(id, job);
    }

    /// @dev A new challenge, in which everybody may demand once again.
    function _enterScored(bytes32 id, Job storage job) private {
        (job.demanded, job.pending, job.demanders) = (0, 0, 0);
        _enter(id, job, State.Scored);
    }

    /// @dev A round without a result: the next one; after the last, the result before stands, if there is one (P3.2).
    function _endRound(bytes32 id, Job storage job, Round storage round, Ending ending) private {
        round.ending = ending;
        if (job.round < _LAST_ROUND) _startRound(id, job);
        else if (_decidingRound(job) != 0) _enterScored(id, job);
        else _finish(id, job, Outcome.Void);
    }

    /// @dev What silence means while Committing (P4.5): a provider's lane is MISSING; the requester's ends the job.
    function _defaultWhileCommitting(bytes32 id, Job storage job, Round storage round) private {
        uint16 pending = job.pending;
        _emitUnanswered(id, pending);
        // the requester's bit is dropped on purpose
        uint8 missing = job.missing | uint8(pending);
        job.missing = missing;
        job.pending = 0;
        uint8 delivered = _allLanes(job) & ~missing;
        if (delivered != 0 && pending & Votes.REQUESTER_BIT == 0) return _enter(id, job, State.Committing);
        round.ending = Ending.Defaulted;
        job.keysWithheld = delivered;
        _finish(id, job, delivered != 0 ? Outcome.HeldOutKeysWithheld : Outcome.Measured);
    }

    function _emitUnanswered(bytes32 id, uint16 pending) internal {
        for (uint8 party; party <= _REQUESTER; ++party) {
            if (pending & (uint16(1) << party) != 0) emit Unanswered(id, party);
        }
    }

    /// @dev Store the drawn seats; the seed itself is the chain's to remember, and in the event. False if the hash is gone.
    function _pin(bytes32 id, Job storage job, Round storage round) internal returns (bool) {
        bytes32 seed = _seedOf(round.seedBlock);
        if (seed == 0) return false;
        uint32[] memory seats = _drawFor(id, job, round, seed);
        (uint96 first, uint256[4] memory others) = Committee.pack(seats);
        round.firstSeats = first;
        for (uint256 i; i < others.length && others[i] != 0; ++i) {
            round.otherSeats[i] = others[i];
        }
        emit Drawn(id, job.round, seed, seats);
        return true;
    }

    /// @dev Once a round, if nobody pinned in the window, or while the hash was known (P5.3); the window begins anew.
    function _reseed(bytes32 id, Job storage job, Round storage round) internal {
        uint40 seedBlock = uint40(block.number + SEED_DELAY);
        (round.reseeded, round.seedBlock) = (true, seedBlock);
        emit Reseeded(id, job.round, seedBlock);
        _enter(id, job, State.Committing);
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

    function _drawFor(bytes32 id, Job storage job, Round storage round, bytes32 seed)
        internal
        view
        returns (uint32[] memory)
    {
        return _draw(seed, id, job.round, round.size, job.seatCount, job.acceptBlock, round.seedBlock);
    }

    function _seatsOf(Round storage round) internal view returns (uint32[] memory seats) {
        seats = new uint32[](round.size);
        for (uint256 place; place < seats.length; ++place) {
            seats[place] = _seatAt(round, place);
        }
    }

    /// @dev One bit for every place that is not vacant. The draw fills places from the first.
    function _drawnMask(Round storage round) internal view returns (uint32) {
        uint256 drawn = round.size;
        while (drawn != 0 && _seatAt(round, drawn - 1) == Committee.VACANT) {
            --drawn;
        }
        // at most 31 places
        return uint32((uint256(1) << drawn) - 1);
    }

    function _allLanes(Job storage job) internal view returns (uint8) {
        // at most 8 lanes
        return uint8((uint256(1) << job.lanes) - 1);
    }
}
