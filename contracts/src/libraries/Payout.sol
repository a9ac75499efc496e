// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Votes} from "./Votes.sol";

/// @title Payout: what a score is worth (P3.3)
library Payout {
    uint256 internal constant PPM = 1e6;
    uint256 internal constant BASIS_POINTS = 1e4;

    /// @notice bid * (floorPay + (1 - floorPay) * clamp((score - floor) / (target - floor), 0, 1)), 0 below the floor.
    /// @dev One division at the very end, so rounding down happens once. A code in place of a score pays 0.
    /// @param price the accepted bid, smallest unit
    /// @param floor ppm, @param target ppm; target < floor means lower is better; they differ (P2.2)
    /// @param floorPay ppm of the bid paid at the floor, at most 1e6
    function ofScoreDown(uint96 price, uint32 floor, uint32 target, uint32 floorPay, uint32 score)
        internal
        pure
        returns (uint256)
    {
        bool higherIsBetter = target > floor;
        if (score > Votes.MAX_SCORE || (higherIsBetter ? score < floor : score > floor)) return 0;
        uint256 span = higherIsBetter ? target - floor : floor - target;
        uint256 gain = higherIsBetter ? score - floor : floor - score;
        if (gain > span) gain = span;
        return price * (floorPay * span + (PPM - floorPay) * gain) / (PPM * span);
    }

    /// @notice A parent's part of a payout (P7.3).
    function royaltyDown(uint256 payout, uint16 bps) internal pure returns (uint256) {
        return payout * bps / BASIS_POINTS;
    }
}
