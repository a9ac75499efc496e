// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Committee} from "./libraries/Committee.sol";
import {Votes} from "./libraries/Votes.sol";
import {Seats} from "./Seats.sol";

/// @title Jobs: what is stored of a job, and how it is read
abstract contract Jobs is Seats {
    /// @notice How a round ended; decides who of its seats is paid and who is slashed (P3, P5.4).
    enum Ending {
        Undecided, // runs
        Uncommitted, // too few commits: no reveals, absent seats are slashed
        Tied, // revealed without a majority in some lane
        Decided, // every lane has a majority
        Defaulted // a party's unanswered demand ended it: its seats served, and none of them was absent
    }

    struct Lane {
        address provider;
        uint96 price;
        bytes32 word;
    }

    /// ```
    /// slot 0   | first three seats 96 | ending 8 | reseeded 8 | missing 8 | revealed 32 | committed 32 | countable 16 | size 8 | seedBlock 40 |
    /// slot 1   | appealBond 96 | appellant 160 |          written by an appeal only
    /// slot 2-5 | seats of places 3 to 30, eight a slot |  written for committees above three
    /// ```
    struct Round {
        uint40 seedBlock;
        uint8 size;
        uint16 countable; // parties whose MISSING or NO_DATA counts: those demanded
        uint32 committed;
        uint32 revealed;
        uint8 missing; // lanes that were MISSING, whatever the votes say, when the round was decided
        bool reseeded;
        Ending ending;
        uint96 firstSeats; // zero until pinned: three distinct seats are not all seat 0
        address appellant;
        uint96 appealBond;
        uint256[4] otherSeats;
        mapping(uint256 place => bytes32) votes; // the commit, then the vote that opened it
    }

    /// ```
    /// slot 0 | locked 96 | deadline 40 | pending 16 | demanded 16 | demanders 8 | noKeys 8 | keysWithheld 8 | halfWithheld 8 |
    ///        | missing 8 | submitted 8 | committee 8 | lanes 8 | round 8 | outcome 8 | state 8 |     what every call needs
    /// slot 1 | fee 96 | requester 160 |                                                              fixed at post
    /// slot 2 | paid 8 | five windows 24 each | stageEnd 40 | seatCount 32 | acceptBlock 40 |                  fixed at accept, but stageEnd
    /// ```
    /// Windows fit in 24 bits (194 days): the constructor refuses greater limits.
    struct Job {
        State state;
        Outcome outcome;
        uint8 round;
        uint8 lanes;
        uint8 committee;
        uint8 submitted;
        uint8 missing; // not submitted, or demanded while Committing and silent
        uint8 halfWithheld; // demanded while Scored and silent: MISSING if the lane would be paid
        uint8 keysWithheld; // demanded the held-out keys while Scored in vain
        uint8 noKeys; // submitted NO_KEYS
        uint8 demanders;
        uint16 demanded;
        uint16 pending;
        uint40 deadline;
        uint96 locked;
        address requester;
        uint96 fee;
        uint40 acceptBlock;
        uint32 seatCount;
        uint40 stageEnd; // the deadline that a pending demand displaced
        uint24 workWindow;
        uint24 releaseWindow;
        uint24 commitWindow;
        uint24 revealWindow;
        uint24 challengeWindow;
        uint8 paid; // lanes that were paid anything; written by the settlement
        Lane[8] lane;
        Round[4] rounds; // 1 to 3; [0] is unused
    }

    /// @dev The word a provider submits when its training envelope does not open (P4.5).
    bytes32 internal constant _NO_KEYS = keccak256("heldout/no-keys");
    /// @dev The requester as a party; lanes are parties 0 to 7.
    uint8 internal constant _REQUESTER = 8;
    uint8 internal constant _LAST_ROUND = 3;

    mapping(bytes32 job => Job) internal _jobs;

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

    /// @dev Enter `state`, or begin its window anew.
    function _enter(bytes32 id, Job storage job, State state) internal {
        job.state = state;
        _setDeadline(id, job, uint40(block.timestamp) + _window(job, state));
    }

    function _setDeadline(bytes32 id, Job storage job, uint40 deadline) internal {
        job.deadline = deadline;
        emit Moved(id, job.state, job.round, deadline);
    }

    /// @dev Nothing is left to wait for: `settle` may pay at once.
    function _finish(bytes32 id, Job storage job, Outcome outcome) internal {
        job.outcome = outcome;
        job.state = State.Scored;
        job.pending = 0;
        _setDeadline(id, job, uint40(block.timestamp));
    }

    function _window(Job storage job, State state) internal view returns (uint40) {
        if (state == State.Running) return job.workWindow;
        if (state == State.Committing) return job.commitWindow;
        if (state == State.Revealing) return job.revealWindow;
        return job.challengeWindow;
    }

    /// @dev When the present window began; a pending demand has displaced its end. Zero where no window of slot 2 runs.
    function _stageStart(Job storage job) internal view returns (uint40) {
        State state = job.state;
        if (state < State.Running || state == State.Settled || job.outcome != Outcome.None) return 0;
        return (job.pending != 0 ? job.stageEnd : job.deadline) - _window(job, state);
    }

    /// @dev The lane of a provider, or `job.lanes` if `account` is none.
    function _laneOf(Job storage job, address account) internal view returns (uint8 lane) {
        for (; lane < job.lanes; ++lane) {
            if (job.lane[lane].provider == account) break;
        }
    }

    function _seatAt(Round storage round, uint256 place) internal view returns (uint32) {
        return Committee.seatAt(round.firstSeats, round.otherSeats, place);
    }

    /// @dev Whether `account` is the hot key of the seat drawn for `place`.
    function _isSeated(Round storage round, uint256 place, address account) internal view returns (bool) {
        if (place >= round.size || round.firstSeats == 0) return false;
        uint32 seat = _seatAt(round, place);
        return seat != Committee.VACANT && _hotOf(seat) == account;
    }

    /// @dev A result is not stored: it is a function of the votes, which are.
    function _tally(Job storage job, Round storage round) internal view returns (bool decided, bytes32 result) {
        uint256 revealed = round.revealed;
        bytes32[] memory votes = new bytes32[](Votes.countOnes(revealed));
        uint256 next;
        for (uint256 place; revealed != 0; (revealed >>= 1, ++place)) {
            if (revealed & 1 != 0) votes[next++] = round.votes[place];
        }
        return Votes.tally(votes, (uint256(round.size) + 1) / 2, job.lanes, round.countable, round.missing);
    }

    /// @dev The last round that found a majority in every lane; 0 if none did.
    function _decidingRound(Job storage job) internal view returns (uint8 round) {
        for (round = job.round; round != 0; --round) {
            if (job.rounds[round].ending == Ending.Decided) break;
        }
    }

    /// @dev The deciding round's word, and over it what unanswered demands made of a lane (P4.5).
    function _resultOf(Job storage job) internal view returns (bytes32 result) {
        uint8 deciding = _decidingRound(job);
        if (deciding != 0) (, result) = _tally(job, job.rounds[deciding]);
        return _overlaid(job, result);
    }

    function _overlaid(Job storage job, bytes32 word) internal view returns (bytes32) {
        (uint256 missing, uint256 withheld) = (job.missing | job.halfWithheld, job.keysWithheld);
        if (missing | withheld == 0) return word;
        for (uint256 i; i < job.lanes; ++i) {
            if ((missing >> i) & 1 != 0) word = Votes.withLane(word, i, Votes.MISSING);
            else if ((withheld >> i) & 1 != 0) word = Votes.withLane(word, i, Votes.NO_DATA);
        }
        return word;
    }
}
