// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Committee} from "../../src/libraries/Committee.sol";
import {Payout} from "../../src/libraries/Payout.sol";
import {Votes} from "../../src/libraries/Votes.sol";

/// @notice The pure libraries against slow and obvious versions of themselves.
contract LibrariesTest is Test {
    using Votes for bytes32;

    function testFuzz_withLane_changesOneLane(bytes32 word, uint8 index, uint32 value) public pure {
        index %= 8;
        bytes32 changed = word.withLane(index, value);
        for (uint256 i; i < 8; ++i) {
            assertEq(changed.lane(i), i == index ? value : word.lane(i));
        }
    }

    function testFuzz_checked_clearsUnusedLanes(bytes32 word, uint8 lanes) public pure {
        lanes = uint8(bound(lanes, 1, 8));
        for (uint256 i; i < lanes; ++i) {
            word = word.withLane(i, uint32(bound(word.lane(i), 0, Votes.NO_DATA)));
        }
        bytes32 checked = word.checked(lanes);
        for (uint256 i; i < 8; ++i) {
            assertEq(checked.lane(i), i < lanes ? word.lane(i) : 0);
        }
    }

    /// @dev Few values, so that majorities happen.
    function testFuzz_tally_isTheStrictMajority(uint256 entropy, uint8 size, uint8 revealed) public pure {
        size = uint8(bound(size, 1, 15)) * 2 + 1;
        bytes32[] memory votes = new bytes32[](bound(revealed, 0, size));
        for (uint256 i; i < votes.length; ++i) {
            votes[i] = bytes32(uint256(keccak256(abi.encode(entropy, i))) % 3);
        }
        (bool decided, bytes32 result) = Votes.tally(votes, (uint256(size) + 1) / 2, 1, 0, 0);
        (bool expected, bytes32 value) = _slowMajority(votes, size);
        assertEq(decided, expected);
        if (decided) assertEq(result, value);
    }

    function test_tally_codesCountForTheDemandedOnly() public pure {
        bytes32[] memory votes = new bytes32[](3);
        votes[0] = votes[1] = votes[2] = bytes32(0).withLane(1, Votes.MISSING);
        (bool decided,) = Votes.tally(votes, 2, 2, 1, 0);
        assertFalse(decided, "lane 0 was demanded, lane 1 was not");
        (decided,) = Votes.tally(votes, 2, 2, 2, 0);
        assertTrue(decided);
        votes[0] = votes[1] = votes[2] = bytes32(0).withLane(1, Votes.NO_DATA);
        (decided,) = Votes.tally(votes, 2, 2, 3, 0);
        assertFalse(decided);
        (decided,) = Votes.tally(votes, 2, 2, Votes.REQUESTER_BIT, 0);
        assertTrue(decided);
        (, bytes32 result) = Votes.tally(votes, 2, 2, 0, 2);
        assertEq(result, bytes32(0).withLane(1, Votes.MISSING), "missing, whatever the votes say");
    }

    function testFuzz_countOnes(uint256 mask) public pure {
        uint256 ones;
        for (uint256 i; i < 256; ++i) {
            ones += mask >> i & 1;
        }
        assertEq(Votes.countOnes(mask), ones);
    }

    function testFuzz_payout_isMonotoneBoundedAndSymmetric(
        uint96 price,
        uint32 floor,
        uint32 target,
        uint32 floorPay,
        uint32 score
    ) public pure {
        floor = uint32(bound(floor, 0, Votes.MAX_SCORE));
        target = uint32(bound(target, 0, Votes.MAX_SCORE));
        vm.assume(floor != target);
        floorPay = uint32(bound(floorPay, 0, 1e6));
        score = uint32(bound(score, 0, Votes.MAX_SCORE - 1));
        uint256 payout = Payout.ofScoreDown(price, floor, target, floorPay, score);
        uint256 better = Payout.ofScoreDown(price, floor, target, floorPay, score + 1);
        assertLe(payout, price);
        if (target > floor) assertLe(payout, better);
        else assertGe(payout, better);
        uint32 top = Votes.MAX_SCORE;
        assertEq(payout, Payout.ofScoreDown(price, top - floor, top - target, floorPay, top - score));
        assertEq(Payout.ofScoreDown(price, floor, target, floorPay, target), price);
        assertEq(Payout.ofScoreDown(price, floor, target, floorPay, floor), uint256(price) * floorPay / 1e6);
    }

    function testFuzz_payout_codesPayNothing(uint96 price, uint32 code) public pure {
        code = uint32(bound(code, uint256(Votes.MAX_SCORE) + 1, type(uint32).max));
        assertEq(Payout.ofScoreDown(price, 0, 1e6, 1e6, code), 0);
    }

    function _slowMajority(bytes32[] memory votes, uint256 size) private pure returns (bool, bytes32) {
        for (uint256 i; i < votes.length; ++i) {
            uint256 equal;
            for (uint256 j; j < votes.length; ++j) {
                if (votes[j] == votes[i]) ++equal;
            }
            if (2 * equal > size) return (true, votes[i]);
        }
        return (false, 0);
    }
}
