// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketBack} from "./interfaces/IMarketBack.sol";
import {Seats} from "./Seats.sol";

/// @title Staking: how a seat is taken and left (P5.1, P5.5)
abstract contract Staking is IMarketBack, Seats {
    /// @inheritdoc IMarketBack
    function seatStake() external view returns (uint96) {
        return _SEAT_STAKE;
    }

    /// @inheritdoc IMarketBack
    function exitDelay() external view returns (uint40) {
        return _EXIT_DELAY;
    }

    /// @inheritdoc IMarketBack
    function seatCount() external view returns (uint32) {
        return _seatCount;
    }

    /// @inheritdoc IMarketBack
    function liveSeats() external view returns (uint32) {
        return _liveSeats;
    }

    /// @inheritdoc IMarketBack
    function getSeat(uint32 seat) external view returns (Seat memory) {
        StoredSeat storage stored = _seats[seat];
        return Seat(stored.hot, stored.activeFrom, stored.exitingAt, stored.cold, stored.stake);
    }

    /// @inheritdoc IMarketBack
    function stake(uint256 count, address hot, bytes32 wrapKey) external returns (uint32 firstSeat) {
        if (count == 0) revert ZeroAmount();
        if (hot == address(0)) revert ZeroAddress();
        _debit(msg.sender, count * _SEAT_STAKE);
        _liveSeats += uint32(count); // bounded by gas
        for (uint256 i; i < count; ++i) {
            uint32 seat = _nextIndex();
            if (i == 0) firstSeat = seat;
            _seats[seat] = StoredSeat(hot, uint40(block.number), 0, msg.sender, _SEAT_STAKE, 0);
            emit Staked(seat, msg.sender, hot, wrapKey);
        }
    }

    /// @inheritdoc IMarketBack
    function rotate(uint32 seat, address hot, bytes32 wrapKey) external {
        StoredSeat storage stored = _owned(seat);
        if (hot == address(0)) revert ZeroAddress();
        stored.hot = hot;
        emit Rotated(seat, hot, wrapKey);
    }

    /// @inheritdoc IMarketBack
    function exit(uint32 seat) external {
        StoredSeat storage stored = _owned(seat);
        if (stored.exitingAt != 0) revert SeatNotLive(seat);
        _exit(seat, stored);
    }

    /// @inheritdoc IMarketBack
    function unstake(uint32 seat) external {
        StoredSeat storage stored = _seats[seat];
        if (stored.exitingAt == 0) revert SeatNotExiting(seat);
        uint256 opensAt = stored.withdrawableAt;
        if (block.timestamp < opensAt) revert TooEarly(block.timestamp, opensAt);
        (address cold, uint256 amount) = (stored.cold, stored.stake);
        delete _seats[seat];
        _vacated.push(seat);
        _credit(cold, amount);
        emit Unstaked(seat, cold, amount);
    }

    /// @dev A withdrawn index before a new one, so that the draw's modulus does not fill with the dead.
    function _nextIndex() private returns (uint32 seat) {
        uint256 vacant = _vacated.length;
        if (vacant == 0) return _seatCount++;
        seat = _vacated[vacant - 1];
        _vacated.pop();
    }

    function _owned(uint32 seat) private view returns (StoredSeat storage stored) {
        stored = _seats[seat];
        if (stored.cold != msg.sender) revert NotCold(msg.sender, seat);
    }
}
