// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Committee} from "./libraries/Committee.sol";
import {Ledger} from "./Ledger.sol";

/// @title Seats: stake that votes (P5)
abstract contract Seats is Ledger {
    /// ```
    /// slot 0 | exitingAt 40 | activeFrom 40 | hot 160 |   read for every candidate of a draw
    /// slot 1 | stake 96     | cold 160                |   read when money moves
    /// slot 2 | withdrawableAt 40                      |   written by an exit only
    /// ```
    struct StoredSeat {
        address hot;
        uint40 activeFrom;
        uint40 exitingAt;
        address cold;
        uint96 stake;
        uint40 withdrawableAt;
    }

    uint32 internal _seatCount;
    uint32 internal _liveSeats;
    mapping(uint32 seat => StoredSeat) internal _seats;
    uint32[] internal _vacated;

    uint96 internal immutable _SEAT_STAKE;
    uint40 internal immutable _EXIT_DELAY;

    constructor(uint96 seatStake, uint40 exitDelay) {
        _SEAT_STAKE = seatStake;
        _EXIT_DELAY = exitDelay;
    }

    function _exit(uint32 seat, StoredSeat storage stored) internal {
        uint40 withdrawableAt = uint40(block.timestamp) + _EXIT_DELAY;
        stored.exitingAt = uint40(block.number);
        stored.withdrawableAt = withdrawableAt;
        --_liveSeats;
        emit Exiting(seat, withdrawableAt);
    }

    function _hotOf(uint32 seat) internal view returns (address) {
        return _seats[seat].hot;
    }

    function _coldOf(uint32 seat) internal view returns (address) {
        return _seats[seat].cold;
    }

    /// @dev Takes at most what is left. Below S/2 the seat leaves by itself (P5.5). A seat younger than the job is not the one
    /// that was drawn: that one has left, and its index was reused.
    function _slash(uint32 seat, uint256 amount, uint40 acceptBlock) internal returns (uint256 taken) {
        StoredSeat storage stored = _seats[seat];
        if (stored.activeFrom >= acceptBlock) return 0;
        uint96 left = stored.stake;
        taken = amount < left ? amount : left;
        left -= uint96(taken); // at most `left`
        stored.stake = left;
        if (left < _SEAT_STAKE / 2 && stored.exitingAt == 0 && stored.hot != address(0)) _exit(seat, stored);
    }

    /// @notice The first `size` distinct live seats among the candidates k = 0 .. 16n (P5.2).
    /// @dev A pure function of the seed and of facts that no longer change: live means active before the accept block and
    /// not exiting before the seed block.
    function _draw(
        bytes32 seed,
        bytes32 job,
        uint8 round,
        uint256 size,
        uint32 among,
        uint40 acceptBlock,
        uint40 seedBlock
    ) internal view returns (uint32[] memory seats) {
        seats = new uint32[](size);
        uint256 drawn;
        for (uint256 k; k < Committee.TRIES * size && drawn < size; ++k) {
            uint32 seat = Committee.candidate(seed, job, round, k, among);
            if (_isLive(_seats[seat], acceptBlock, seedBlock) && !_isAmong(seats, drawn, seat)) seats[drawn++] = seat;
        }
        for (; drawn < size; ++drawn) {
            seats[drawn] = Committee.VACANT;
        }
    }

    function _isLive(StoredSeat storage stored, uint40 acceptBlock, uint40 seedBlock) private view returns (bool) {
        if (stored.hot == address(0) || stored.activeFrom >= acceptBlock) return false;
        uint40 exitingAt = stored.exitingAt;
        return exitingAt == 0 || exitingAt >= seedBlock;
    }

    function _isAmong(uint32[] memory seats, uint256 length, uint32 seat) private pure returns (bool) {
        for (uint256 i; i < length; ++i) {
            if (seats[i] == seat) return true;
        }
        return false;
    }
}
