// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";
import {Committee} from "../../src/libraries/Committee.sol";
import {Payout} from "../../src/libraries/Payout.sol";
import {Votes} from "../../src/libraries/Votes.sol";

/// @notice The pure libraries where chance seldom leads: all small cases, and the values at the edges.
contract EdgesTest is Test {
    /// @notice P3.2: every sequence of at most five votes of three values, revealed of a committee of five.
    function test_tally_allSequencesOfFive_areTheStrictMajority() public pure {
        for (uint256 count; count <= 5; ++count) {
            for (uint256 code; code < 3 ** count; ++code) {
                _isTheStrictMajority(code, count);
            }
        }
    }

    function test_tally_forcedLanesNeedNoVotes() public pure {
        (bool decided, bytes32 result) = Votes.tally(new bytes32[](0), 2, 2, 0, 3);
        assertTrue(decided);
        assertEq(result, Votes.withLane(Votes.withLane(0, 0, Votes.MISSING), 1, Votes.MISSING));
    }

    function test_payout_oneBelowAndOneAboveTheEdges() public pure {
        assertEq(Payout.ofScoreDown(100, 800, 900, 500_000, 799), 0);
        assertEq(Payout.ofScoreDown(100, 800, 900, 500_000, 800), 50);
        assertEq(Payout.ofScoreDown(100, 800, 900, 500_000, 801), 50, "rounded down");
        assertEq(Payout.ofScoreDown(100, 800, 900, 500_000, 899), 99);
        assertEq(Payout.ofScoreDown(100, 800, 900, 500_000, 900), 100);
        assertEq(Payout.ofScoreDown(100, 800, 900, 500_000, 901), 100);
        assertEq(Payout.ofScoreDown(100, 900, 800, 500_000, 901), 0);
        assertEq(Payout.ofScoreDown(100, 900, 800, 500_000, 799), 100);
        assertEq(Payout.ofScoreDown(100, 0, 1, 1e6, Votes.MAX_SCORE), 100);
        assertEq(Payout.ofScoreDown(100, 0, 1, 1e6, Votes.MAX_SCORE + 1), 0);
    }

    function test_sizeOf_isOfThePaper() public pure {
        uint8[9] memory sizes = [3, 7, 15, 5, 11, 23, 7, 15, 31];
        for (uint8 i; i < 9; ++i) {
            assertEq(Committee.sizeOf(3 + 2 * (i / 3), 1 + i % 3), sizes[i]);
        }
    }

    function _isTheStrictMajority(uint256 code, uint256 count) private pure {
        bytes32[] memory votes = new bytes32[](count);
        uint256[3] memory counts;
        for (uint256 i; i < count; (++i, code /= 3)) {
            votes[i] = bytes32(code % 3 + 1);
            ++counts[code % 3];
        }
        (bool decided, bytes32 result) = Votes.tally(votes, 3, 1, 0, 0);
        bool exists;
        for (uint256 value; value < 3; ++value) {
            if (counts[value] < 3) continue;
            exists = true;
            assertEq(result, bytes32(value + 1));
        }
        assertEq(decided, exists);
    }
}
