// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBase} from "./interfaces/IMarketBase.sol";

/// @title Rules: the bounds of P1.5, fixed at construction
/// @dev One immutable each: reading them from storage would cost every `post` three slots.
abstract contract Rules is IMarketBase {
    /// @dev Windows are stored in 24 bits.
    uint32 private constant MAX_WINDOW = type(uint24).max;

    uint64 private immutable _BID;
    uint64 private immutable _WORK;
    uint64 private immutable _RELEASE;
    uint64 private immutable _COMMIT;
    uint64 private immutable _REVEAL;
    uint64 private immutable _CHALLENGE;
    uint32 private immutable _SHARD_BYTES;
    uint64 private immutable _WEIGHTS_BYTES;
    uint64 private immutable _OPERATIONS_PER_SECOND;
    uint96 internal immutable _MINIMUM_FEE;

    /// @param minimumFee least f; a fee must fit between it and S/32
    constructor(uint96 seatStake, uint96 minimumFee, Limits memory limits_) {
        if (minimumFee == 0 || minimumFee > seatStake / 32) revert BadLimits();
        _MINIMUM_FEE = minimumFee;
        _BID = _packed(limits_.bid);
        _WORK = _packed(limits_.work);
        _RELEASE = _packed(limits_.release);
        _COMMIT = _packed(limits_.commit);
        _REVEAL = _packed(limits_.reveal);
        _CHALLENGE = _packed(limits_.challenge);
        _SHARD_BYTES = limits_.shardBytes;
        _WEIGHTS_BYTES = limits_.weightsBytes;
        _OPERATIONS_PER_SECOND = limits_.operationsPerSecond;
    }

    function _limits() internal view returns (Limits memory) {
        return Limits({
            bid: _unpacked(_BID),
            work: _unpacked(_WORK),
            release: _unpacked(_RELEASE),
            commit: _unpacked(_COMMIT),
            reveal: _unpacked(_REVEAL),
            challenge: _unpacked(_CHALLENGE),
            shardBytes: _SHARD_BYTES,
            weightsBytes: _WEIGHTS_BYTES,
            operationsPerSecond: _OPERATIONS_PER_SECOND
        });
    }

    /// @dev Longer than three longest rounds (P5.5): a window to commit, one after a reseed, one after each of nine demands,
    /// a reveal, and a challenge with nine demands of its own.
    function _exitDelayOf(Limits memory limits_) internal pure returns (uint40) {
        uint40 commits = 11 * (uint40(limits_.release.greatest) + limits_.commit.greatest);
        uint40 challenges = 10 * (uint40(limits_.release.greatest) + limits_.challenge.greatest);
        return 3 * (commits + limits_.reveal.greatest + challenges) + 1;
    }

    function _packed(Window memory window) private pure returns (uint64) {
        if (window.least == 0 || window.least > window.greatest || window.greatest > MAX_WINDOW) revert BadLimits();
        return uint64(window.greatest) << 32 | window.least;
    }

    function _unpacked(uint64 window) private pure returns (Window memory) {
        // the lower half
        return Window(uint32(window), uint32(window >> 32));
    }
}
