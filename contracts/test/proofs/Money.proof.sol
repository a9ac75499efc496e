// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Payout} from "../../src/libraries/Payout.sol";
import {Votes} from "../../src/libraries/Votes.sol";
import {Ledger} from "../../src/Ledger.sol";
import {Seats} from "../../src/Seats.sol";

/// @notice P3.3, for all values at once: what is not paid. That a payout is at most its bid is for the fuzz: no solver we
/// tried divides 256-bit words within a minute (docs/proofs.md).
contract PayoutProof {
    function check_payout_isZeroForCodes(uint96 price, uint32 floor, uint32 target, uint32 floorPay, uint32 code)
        external
        pure
    {
        if (code <= Votes.MAX_SCORE) return;
        assert(Payout.ofScoreDown(price, floor, target, floorPay, code) == 0);
    }

    function check_payout_isZeroBelowTheFloor(uint96 price, uint32 floor, uint32 target, uint32 floorPay, uint32 score)
        external
        pure
    {
        if (floor == target) return;
        bool isBelow = target > floor ? score < floor : score > floor;
        if (!isBelow) return;
        assert(Payout.ofScoreDown(price, floor, target, floorPay, score) == 0);
    }
}

/// @notice P1.4, for all balances at once: each movement keeps the sum, or reverts.
contract LedgerProof is Ledger {
    address private constant ALICE = address(1);
    address private constant BOB = address(2);

    function check_credit_addsToOneAccount(uint256 free, uint256 others, uint256 amount) external {
        (_free[ALICE], _free[BOB]) = (others, free);
        _credit(BOB, amount);
        assert(_free[BOB] >= free && _free[BOB] - free == amount);
        assert(_free[ALICE] == others);
    }

    function check_debit_neverTakesMoreThanThereIs(uint256 free, uint256 amount) external {
        _free[ALICE] = free;
        _debit(ALICE, amount);
        assert(_free[ALICE] + amount == free && _free[ALICE] <= free);
    }
}

/// @notice P5.4, P5.5, for all stakes at once: a seat loses what is taken and no more, and never what it does not have.
contract SeatsProof is Seats(1000e18, 30 days) {
    uint32 private constant SEAT = 7;

    function check_slash_takesAtMostTheStake(uint96 stake, uint256 amount, uint40 activeFrom, uint40 acceptBlock)
        external
    {
        _seats[SEAT] = StoredSeat(address(1), activeFrom, 0, address(2), stake, 0);
        _liveSeats = 1;
        uint256 taken = _slash(SEAT, amount, acceptBlock);
        assert(taken <= stake && taken <= amount);
        assert(_seats[SEAT].stake == stake - taken);
        if (activeFrom >= acceptBlock) assert(taken == 0);
        else assert(taken == (amount < stake ? amount : stake));
    }

    function check_slash_belowHalfTheSeatLeaves_onceOnly(uint96 stake, uint256 amount, uint40 exitingAt) external {
        _seats[SEAT] = StoredSeat(address(1), 1, exitingAt, address(2), stake, 0);
        _liveSeats = 1;
        _slash(SEAT, amount, 2);
        bool leaves = exitingAt == 0 && _seats[SEAT].stake < _SEAT_STAKE / 2;
        assert(_liveSeats == (leaves ? 0 : 1));
        if (!leaves) assert(_seats[SEAT].exitingAt == exitingAt);
    }
}
