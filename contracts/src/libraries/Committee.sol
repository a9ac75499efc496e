// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title Committee: which seats a seed draws
library Committee {
    /// @notice A place that no live seat took. It counts in n (P5.2).
    uint32 internal constant VACANT = type(uint32).max;

    /// @notice Candidates tried per place before the rest stays vacant.
    uint256 internal constant TRIES = 16;

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
    function sizeOf(uint256 committee, uint256 round) internal pure returns (uint256) {
        return ((committee + 1) << (round - 1)) - 1;
    }
}
