// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Committee} from "./libraries/Committee.sol";
import {Votes} from "./libraries/Votes.sol";
import {Seats} from "./Seats.sol";

/// @title Jobs: what is stored of a job, and how it is read
/// @dev Terms are never stored: a call that needs them shows them (P2.1, docs/decisions/0018).
abstract contract Jobs is Seats {
    /// @notice How far a round is; how it ended decides who of its seats is paid and who is slashed (P3, P5.4).
    enum Progress {
        Undrawn, // waits for its seed block; or ended so
        Reseeded, // waits for its second one; or ended so
        Drawn,
        Uncommitted, // too few commits: no reveals, absent seats are slashed
        Tied, // revealed without a majority in some lane
        Decided, // every lane has a majority
        Defaulted // a party's unanswered demand ended it: its seats served, and none of them was absent
    }

    /// @dev Once settled, `price` holds what is left to tell: the score, and above it whether anything was paid.
    struct Lane {
        address provider;
        uint96 price;
        bytes32 word;
    }

    /// @dev Slot 3 of a job, written by demands only, and looked at only if `wasAsked`.
    struct Asked {
        uint40 stageEnd; // the deadline that a pending demand displaced
        uint16 demanded; // bit per party of this stage
        uint16 pending; // demanded and not yet answered
        uint8 demanders; // bit per lane whose provider made the present demand of the requester
        uint8 noKeys; // submitted NO_KEYS
        uint8 halfWithheld; // demanded while Scored and silent: MISSING if the lane would be paid
        uint8 keysWithheld; // demanded the held-out keys while Scored in vain
    }

    /// @dev A round that is over, filed when the next one begins.
    struct Round {
        Progress progress;
        uint8 missing; // lanes that were MISSING, whatever the votes say
        uint32 committed;
        uint96 seats;
        uint96 votes;
        bytes32 result;
    }

    struct Appeal {
        address appellant;
        uint96 bond;
    }

    /// ```
    /// slot 0 | seats 96 | committed 32 | seedBlock 32 | deadline 32 | missing 8 | submitted 8 | committee 8 | lanes 8 |
    ///        | progress 8 | round 8 | outcome 8 | state 8 |                            written by nearly every call
    /// slot 1 | wasAsked 8 | votes 96 | seatCount 32 | acceptBlock 40 | three windows 24 each |  by accept and reveals
    /// slot 2 | word 256 |                                                            by commits and the last reveal
    /// slot 3 | see Asked |                                                                          by demands only
    /// ```
    /// Slot 2 is cleared when the job is settled: the lanes keep
    /// their part of the result, and a cleared slot gives back what its change costs (EIP-3529). Seconds fit in 32 bits until 2106, blocks for longer. Windows fit in 24 bits (194 days), or there would be no market.
    struct Job {
        State state;
        Outcome outcome;
        uint8 round;
        Progress progress; // of the present round, as the next fields
        uint8 lanes;
        uint8 committee;
        uint8 submitted;
        uint8 missing; // not submitted, or demanded while Committing and silent
        uint32 deadline;
        uint32 seedBlock;
        uint32 committed; // bit per place
        uint96 seats; // of places 0 to 2
        uint24 commitWindow;
        uint24 revealWindow;
        uint24 challengeWindow;
        uint40 acceptBlock;
        uint32 seatCount;
        uint96 votes; // of places 0 to 2, if there is one lane
        bool wasAsked;
        bytes32 word; // the chain of commits (Messages.chained); once the round is decided, its result
        Asked asked;
        Lane[8] lane;
        mapping(uint256 number => Round) past;
        mapping(uint256 number => Appeal) appeals; // by the round that was asked for
        mapping(bytes32 key => uint256) more; // seats and votes of all other places, eight 32-bit values a word
    }

    /// @dev The word a provider submits when its training envelope does not open (P4.5).
    bytes32 internal constant _NO_KEYS = keccak256("heldout/no-keys");
    /// @dev The requester as a party; lanes are parties 0 to 7.
    uint8 internal constant _REQUESTER = 8;
    uint8 internal constant _LAST_ROUND = 3;
    /// @dev Places whose seats, and votes on one lane, fit in a job's first slots.
    uint256 internal constant _INLINE = 3;

    mapping(bytes32 job => Job) internal _jobs;
    mapping(address provider => mapping(uint256 word => uint256)) internal _spentNonces;

    function _isSpent(address provider, uint256 nonce) internal view returns (bool) {
        return _spentNonces[provider][nonce >> 8] & (1 << (nonce & 0xff)) != 0;
    }

    /* ------------------------------------------------------------ state and time */

    function _requireState(bytes32 id, Job storage job, State state) internal view {
        if (job.state != state) revert WrongState(id, job.state);
    }

    /// @dev Actors need t < deadline (P3.1).
    function _requireBefore(uint256 deadline) internal view {
        if (block.timestamp >= deadline) revert TooLate(block.timestamp, deadline);
    }

    /// @dev Deadline moves need t >= deadline (P3.1): at no time are both open.
    function _requireAfter(uint256 deadline) internal view {
        if (block.timestamp < deadline) revert TooEarly(block.timestamp, deadline);
    }

    /// @dev Enter `state` for `window` seconds, or begin its window anew.
    function _enter(bytes32 id, Job storage job, State state, uint256 window) internal {
        job.state = state;
        _setDeadline(id, job, block.timestamp + window);
    }

    function _setDeadline(bytes32 id, Job storage job, uint256 deadline) internal {
        job.deadline = uint32(deadline); // see Job
        emit Moved(id, job.state, job.round, uint40(deadline));
    }

    /// @dev Nothing is left to wait for: `settle` may pay at once.
    function _finish(bytes32 id, Job storage job, Outcome outcome) internal {
        job.outcome = outcome;
        job.state = State.Scored;
        if (job.wasAsked) job.asked.pending = 0;
        _setDeadline(id, job, block.timestamp);
    }

    function _pending(Job storage job) internal view returns (uint16) {
        return job.wasAsked ? job.asked.pending : 0;
    }

    /* ----------------------------------------------------------- lanes and places */

    function _allLanes(Job storage job) internal view returns (uint8) {
        // at most 8 lanes
        return uint8((uint256(1) << job.lanes) - 1);
    }

    /// @dev The lane of a provider, or `job.lanes` if `account` is none.
    function _laneOf(Job storage job, address account) internal view returns (uint8 lane) {
        for (; lane < job.lanes; ++lane) {
            if (job.lane[lane].provider == account) break;
        }
    }

    /// @dev n of the present round.
    function _size(Job storage job) internal view returns (uint256) {
        return Committee.sizeOf(job.committee, job.round);
    }

    /// @dev The seat at `place` of a round whose first seats are given.
    function _seatAt(Job storage job, uint256 number, uint96 seats, uint256 place) internal view returns (uint32) {
        // the lowest 32 bits
        if (place < _INLINE) return uint32(seats >> (32 * place));
        return uint32(job.more[_seatKey(number, place)] >> (32 * ((place - _INLINE) % 8)));
    }

    function _seatKey(uint256 number, uint256 place) internal pure returns (bytes32) {
        return _key("seats", number, (place - _INLINE) / 8);
    }

    function _seatAt(Job storage job, uint256 place) internal view returns (uint32) {
        return _seatAt(job, job.round, job.seats, place);
    }

    /// @dev Reverts unless `account` is the hot key of the seat drawn for `place` of the present round.
    function _requireSeated(Job storage job, uint256 place, address account) internal view returns (uint32 seat) {
        if (!_isSeated(job, place, account)) revert NotSeat(account, place);
        return _seatAt(job, place);
    }

    function _isSeated(Job storage job, uint256 place, address account) internal view returns (bool) {
        if (job.progress < Progress.Drawn || place >= _size(job)) return false;
        uint32 seat = _seatAt(job, place);
        return seat != Committee.VACANT && _hotOf(seat) == account;
    }

    /// @dev Where a vote is: in which word of `more`, and how far from its lowest bit.
    function _voteKey(uint256 lanes, uint256 number, uint256 place) internal pure returns (bytes32 key, uint256 shift) {
        uint256 perWord = 8 / lanes;
        return (_key("votes", number, place / perWord), 32 * lanes * (place % perWord));
    }

    function _key(bytes32 kind, uint256 number, uint256 index) private pure returns (bytes32) {
        return kind | bytes32(number << 8 | index);
    }

    /// @dev The vote at `place`, as it was shown; `isRevealed` is false if it was not.
    function _voteAt(Job storage job, uint256 number, uint96 votes, uint256 place)
        internal
        view
        returns (bool isRevealed, bytes32 vote)
    {
        uint256 lanes = job.lanes;
        uint256 stored = votes >> (32 * place);
        if (lanes != 1 || place >= _INLINE) {
            (bytes32 key, uint256 shift) = _voteKey(lanes, number, place);
            stored = job.more[key] >> shift;
        }
        stored &= uint256(Votes.used(lanes));
        return stored == 0 ? (false, bytes32(0)) : (true, bytes32(stored - 1));
    }

    /// @dev Stored with one added, so that zero says: not revealed. No lane holds more than NO_DATA, so nothing carries over.
    function _storeVote(Job storage job, uint256 place, bytes32 vote) internal {
        uint256 lanes = job.lanes;
        uint256 stored = uint256(vote) + 1;
        if (lanes == 1 && place < _INLINE) {
            job.votes |= uint96(stored << (32 * place)); // shifted by 64 bits at most
        } else {
            (bytes32 key, uint256 shift) = _voteKey(lanes, job.round, place);
            job.more[key] |= stored << shift;
        }
    }

    /* ------------------------------------------------------------------- results */

    /// @dev How far round `number` is or was.
    function _progressOf(Job storage job, uint256 number) internal view returns (Progress) {
        return number == job.round ? job.progress : job.past[number].progress;
    }

    /// @dev The result of a round that was decided.
    function _resultOf(Job storage job, uint256 number) internal view returns (bytes32) {
        return number == job.round ? job.word : job.past[number].result;
    }

    /// @dev The last round that found a majority in every lane; 0 if none did.
    function _decidingRound(Job storage job) internal view returns (uint8 number) {
        for (number = job.round; number != 0; --number) {
            if (_progressOf(job, number) == Progress.Decided) break;
        }
    }

    /// @dev `word`, and over it what unanswered demands made of a lane (P4.5).
    function _overlaid(Job storage job, bytes32 word) internal view returns (bytes32) {
        (uint256 missing, uint256 withheld) = (job.missing, 0);
        if (job.wasAsked) (missing, withheld) = (missing | job.asked.halfWithheld, job.asked.keysWithheld);
        if (missing | withheld == 0) return word;
        for (uint256 i; i < job.lanes; ++i) {
            if ((missing >> i) & 1 != 0) word = Votes.withLane(word, i, Votes.MISSING);
            else if ((withheld >> i) & 1 != 0) word = Votes.withLane(word, i, Votes.NO_DATA);
        }
        return word;
    }
}
