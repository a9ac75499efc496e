// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Committee} from "../../src/libraries/Committee.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {Jobs} from "../../src/Jobs.sol";
import {Seats} from "../../src/Seats.sol";

/// @notice P3.1, P3.2, for all votes at once: a majority is one, and lanes do not touch each other.
contract VotesProof {
    function check_withLane_changesThatLaneOnly(bytes32 word, uint8 index, uint8 other, uint32 value) external pure {
        if (index > 7 || other > 7) return;
        bytes32 changed = Votes.withLane(word, index, value);
        assert(Votes.lane(changed, other) == (other == index ? value : Votes.lane(word, other)));
    }

    function check_checked_isInRange_andClearsTheRest(bytes32 vote, uint8 lane) external pure {
        if (lane > 7) return;
        bytes32 checked = Votes.checked(vote, 3);
        assert(lane < 3 ? Votes.lane(checked, lane) == Votes.lane(vote, lane) : Votes.lane(checked, lane) == 0);
        assert(Votes.lane(checked, lane) <= Votes.NO_DATA);
    }

    /// @dev Masks of lanes; those of places have 31 bits, and so many paths that the fuzz of Libraries.t.sol has them.
    function check_countOnes_isTheSumOfTheBits(uint8 mask) external pure {
        uint256 ones;
        for (uint256 i; i < 8; ++i) {
            ones += (mask >> i) & 1;
        }
        assert(Votes.countOnes(mask) == ones);
    }

    function check_tally_ofThree_isTheStrictMajority(uint32 a, uint32 b, uint32 c) external pure {
        uint32[] memory votes = new uint32[](3);
        (votes[0], votes[1], votes[2]) = (a, b, c);
        _isTheStrictMajority(votes, 3);
    }

    /// @dev Two of three revealed: a majority is of the committee, not of those who revealed.
    function check_tally_ofTwoRevealedOfThree_isTheStrictMajority(uint32 a, uint32 b) external pure {
        uint32[] memory votes = new uint32[](2);
        (votes[0], votes[1]) = (a, b);
        _isTheStrictMajority(votes, 3);
    }

    function check_tally_ofFive_isTheStrictMajority(uint32 a, uint32 b, uint32 c, uint32 d, uint32 e) external pure {
        uint32[] memory votes = new uint32[](5);
        (votes[0], votes[1], votes[2], votes[3], votes[4]) = (a, b, c, d, e);
        _isTheStrictMajority(votes, 5);
    }

    /// @dev MISSING is decided only of lanes that were demanded, NO_DATA only if the requester was (P4.5).
    function check_tally_codesNeedADemand(uint32 a, uint32 b, uint32 c, uint16 countable) external pure {
        bytes32[] memory words = new bytes32[](3);
        (words[0], words[1], words[2]) = (_word(a), _word(b), _word(c));
        (bool decided, bytes32 result) = Votes.tally(words, 2, 1, countable, 0);
        if (!decided) return;
        if (Votes.lane(result, 0) == Votes.MISSING) assert(countable & 1 != 0);
        if (Votes.lane(result, 0) == Votes.NO_DATA) assert(countable & Votes.REQUESTER_BIT != 0);
    }

    function _isTheStrictMajority(uint32[] memory votes, uint256 size) private pure {
        bytes32[] memory words = new bytes32[](votes.length);
        for (uint256 i; i < votes.length; ++i) {
            words[i] = _word(votes[i]);
        }
        (bool decided, bytes32 result) = Votes.tally(words, (size + 1) / 2, 1, type(uint16).max, 0);
        bool exists;
        for (uint256 i; i < votes.length; ++i) {
            uint256 equal;
            for (uint256 j; j < votes.length; ++j) {
                if (votes[j] == votes[i]) ++equal;
            }
            if (2 * equal <= size) continue;
            exists = true;
            assert(Votes.lane(result, 0) == votes[i]);
        }
        assert(decided == exists);
    }

    function _word(uint32 value) private pure returns (bytes32) {
        return Votes.withLane(0, 0, value);
    }
}

/// @notice P5.2, for all seats and seeds at once: a candidate is a seat there is.
contract CommitteeProof {
    function check_candidate_isASeatThereIs(bytes32 seed, bytes32 job, uint8 round, uint256 k, uint32 seatCount)
        external
        pure
    {
        if (seatCount == 0) return;
        assert(Committee.candidate(seed, job, round, k, seatCount) < seatCount);
    }

    function check_sizeOf_doublesAndStaysOdd(uint8 n, uint8 round) external pure {
        if ((n != 3 && n != 5 && n != 7) || round == 0 || round > 3) return;
        uint256 size = Committee.sizeOf(n, round);
        assert(size % 2 == 1 && size <= 31);
        if (round == 1) assert(size == n);
        else assert(size == 2 * Committee.sizeOf(n, round - 1) + 1);
    }
}

/// @notice P3.1, for all votes at once: what is stored comes back at its place, and nowhere else.
contract BallotProof is Jobs {
    constructor() Seats(1000e18, 30 days) {}

    /// @dev Each number of lanes by itself: no solver divides by what it does not know, not in a minute.
    function check_vote_comesBack_ofOne(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 1, place, other);
    }

    function check_vote_comesBack_ofTwo(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 2, place, other);
    }

    function check_vote_comesBack_ofThree(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 3, place, other);
    }

    function check_vote_comesBack_ofFour(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 4, place, other);
    }

    function check_vote_comesBack_ofFive(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 5, place, other);
    }

    function check_vote_comesBack_ofSix(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 6, place, other);
    }

    function check_vote_comesBack_ofSeven(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 7, place, other);
    }

    function check_vote_comesBack_ofEight(bytes32 vote, uint8 place, uint8 other) external {
        _comesBack(vote, 8, place, other);
    }

    function _comesBack(bytes32 vote, uint8 lanes, uint8 place, uint8 other) private {
        if (place > 30 || other > 30 || other == place) return;
        vote = Votes.checked(vote, lanes);
        Job storage job = _jobs[0];
        (job.lanes, job.round) = (lanes, 1);
        _storeVote(job, place, vote);
        (bool isRevealed, bytes32 read) = _voteAt(job, 1, job.votes, place);
        assert(isRevealed && read == vote);
        (isRevealed,) = _voteAt(job, 1, job.votes, other);
        assert(!isRevealed);
    }
}
