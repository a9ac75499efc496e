// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "../interfaces/IMarketBase.sol";

/// @title Votes: eight 32-bit lanes in one word, lane 0 in the lowest bits (P3.1)
/// @dev A lane holds a score of at most MAX_SCORE, or one of the three codes above it.
library Votes {
    uint32 internal constant MAX_SCORE = 0xFFFFFF00;
    uint32 internal constant BAD = 0xFFFFFF01; // opened, but fails the strict check of P9.1
    uint32 internal constant MISSING = 0xFFFFFF02; // the provider did not deliver
    uint32 internal constant NO_DATA = 0xFFFFFF03; // the requester did not deliver

    /// @notice The bit of the requester in a mask of parties; lanes are bits 0 to 7 (P4.5).
    uint16 internal constant REQUESTER_BIT = 1 << 8;

    /// @notice The value in one lane.
    function lane(bytes32 word, uint256 index) internal pure returns (uint32) {
        return uint32(uint256(word) >> (32 * index));
    }

    /// @notice `word` with one lane replaced.
    function withLane(bytes32 word, uint256 index, uint32 value) internal pure returns (bytes32) {
        uint256 cleared = uint256(word) & ~(uint256(type(uint32).max) << (32 * index));
        return bytes32(cleared | (uint256(value) << (32 * index)));
    }

    /// @notice `vote` with the unused lanes cleared; reverts if a used lane holds neither a score nor a code.
    function checked(bytes32 vote, uint256 lanes) internal pure returns (bytes32) {
        for (uint256 i; i < lanes; ++i) {
            uint32 value = lane(vote, i);
            // lanes <= 8
            if (value > NO_DATA) revert IMarketBase.VoteOutOfRange(uint8(i), value);
        }
        return vote & used(lanes);
    }

    /// @notice The bits of the first `lanes` lanes (1 to 8).
    function used(uint256 lanes) internal pure returns (bytes32) {
        return bytes32(type(uint256).max >> (256 - 32 * lanes));
    }

    /// @notice All bits of the lanes named in `mask`, one bit a lane.
    function spread(uint256 mask) internal pure returns (bytes32 word) {
        for (uint256 i; mask != 0; (mask >>= 1, ++i)) {
            if (mask & 1 != 0) word = withLane(word, i, type(uint32).max);
        }
    }

    /// @notice The word of the votes' strict majorities (Boyer and Moore), per lane.
    /// @param votes as revealed, unused lanes cleared
    /// @param majority how many equal values decide: (n+1)/2 of the n seats, not of the revealed (P3.2)
    /// @param lanes used lanes
    /// @param countable parties demanded in the round: MISSING and NO_DATA count only for those (P4.5)
    /// @param missing lanes that are MISSING whatever the votes say
    /// @return decided whether every lane has a majority
    /// @return result the majority's values; meaningless unless decided
    function tally(bytes32[] memory votes, uint256 majority, uint256 lanes, uint16 countable, uint8 missing)
        internal
        pure
        returns (bool decided, bytes32 result)
    {
        for (uint256 i; i < lanes; ++i) {
            uint32 value = MISSING;
            if (missing & (1 << i) == 0) {
                uint256 count;
                (value, count) = _majority(votes, i);
                if (count < majority || !_counts(value, i, countable)) return (false, 0);
            }
            result = withLane(result, i, value);
        }
        return (true, result);
    }

    /// @dev The only value that can have more than half of the votes in a lane, and how many it has.
    function _majority(bytes32[] memory votes, uint256 index) private pure returns (uint32 value, uint256 count) {
        uint256 lead;
        for (uint256 i; i < votes.length; ++i) {
            uint32 vote = lane(votes[i], index);
            if (lead == 0) (value, lead) = (vote, 1);
            else if (vote == value) ++lead;
            else --lead;
        }
        for (uint256 i; i < votes.length; ++i) {
            if (lane(votes[i], index) == value) ++count;
        }
    }

    function _counts(uint32 value, uint256 index, uint16 countable) private pure returns (bool) {
        if (value == MISSING) return countable & (1 << index) != 0;
        if (value == NO_DATA) return countable & REQUESTER_BIT != 0;
        return true;
    }

    /// @notice How many bits are set.
    function countOnes(uint256 mask) internal pure returns (uint256 bits) {
        for (; mask != 0; mask &= mask - 1) {
            ++bits;
        }
    }
}
