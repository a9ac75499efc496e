// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Committee: which seats a seed draws, and how they are packed
library Committee {
    /// @notice A place that no live seat took. It counts in n (P5.2).
    uint32 internal constant VACANT = type(uint32).max;

    /// @notice Candidates tried per place before the rest stays vacant.
    uint256 internal constant TRIES = 16;

    /// @dev Places that fit beside a round's masks, see Jobs.Round.
    uint256 private constant INLINE = 3;

    /// @notice Candidate k of a draw: hash(seed, job, round, k) mod seatCount (P5.2).
    function candidate(bytes32 seed, bytes32 job, uint8 round, uint256 k, uint32 seatCount)
        internal
        pure
        returns (uint32)
    {
        // the remainder is smaller than a uint32
        return uint32(uint256(keccak256(abi.encode(seed, job, round, k))) % seatCount);
    }

    /// @notice n of round 1, 2 and 3: n, 2n+1, 4n+3.
    function sizeOf(uint8 committee, uint8 round) internal pure returns (uint8) {
        // at most 31
        return uint8(((uint256(committee) + 1) << (round - 1)) - 1);
    }

    /// @notice The first three seats in 96 bits, the others eight to a word.
    function pack(uint32[] memory seats) internal pure returns (uint96 first, uint256[4] memory others) {
        for (uint256 place; place < seats.length; ++place) {
            uint256 seat = seats[place];
            // shifted by 64 bits at most
            if (place < INLINE) first |= uint96(seat << (32 * place));
            else others[(place - INLINE) / 8] |= seat << (32 * ((place - INLINE) % 8));
        }
    }

    /// @notice The seat at `place` of a packed committee.
    function seatAt(uint96 first, uint256[4] storage others, uint256 place) internal view returns (uint32) {
        // the seat is the lowest 32 bits
        if (place < INLINE) return uint32(first >> (32 * place));
        return uint32(others[(place - INLINE) / 8] >> (32 * ((place - INLINE) % 8)));
    }
}
