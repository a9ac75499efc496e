// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Attack} from "./Attack.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Committee} from "../../src/libraries/Committee.sol";

/// @notice Threats 9 to 15 and 24: seats that copy, fall silent, leave, lie or steer the draw.
contract SeatsTest is Attack {
    /// @notice Threat 9, P3.5: the seat is in the hash; a copied commit can never be opened, and that costs 8f.
    function test_threat9_copiedCommit_costs8f() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commit(id, 0, _vote(900_000));
        bytes32 copied = _commitment(id, 1, _seat(id, 0), _vote(900_000));
        uint32 copier = _seat(id, 1);
        address hot = _hotAt(id, 1);
        _commitHash(id, 1, 1, hot, copied);
        _commit(id, 2, _vote(900_000));
        _reveal(id, 0, _vote(900_000));
        bytes memory copy = _revealOf(id, 1, _vote(900_000));
        assertFalse(_tries(hot, copy));
        _reveal(id, 2, _vote(900_000));
        skip(terms.revealWindow);
        market.close(id);
        assertEq(market.getJob(id).result, _vote(900_000), "the honest two decide");
        _settle(terms);
        _cost("copying a commit", STAKE, _stakeOf(copier));
        assertEq(STAKE - _stakeOf(copier), 8 * FEE);
    }

    /// @notice Threats 10 and 12, P3, P5.4: the last to reveal sees both others, withholds, and moves nothing but its own 8f.
    function test_threat12_lastRevealerWithholds_changesNothing_andPays8f() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commitAll(id, _vote(950_000));
        uint32 last = _seat(id, 2);
        uint256 cold = market.free(market.getSeat(last).cold);
        _reveal(id, 0, _vote(950_000));
        _reveal(id, 1, _vote(950_000));
        skip(terms.revealWindow);
        market.close(id);
        assertEq(market.getJob(id).result, _vote(950_000), "what would have been decided anyway");
        _settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE);
        assertEq(market.free(market.getSeat(last).cold), cold, "no fee");
        _cost("withholding a reveal", STAKE, _stakeOf(last));
        assertEq(STAKE - _stakeOf(last), 8 * FEE);
    }

    /// @notice Threat 10, P3.2: two of three withhold to undo a round: it costs them 16f, and pays the next round's seats.
    function test_threat10_majorityWithholdsItsReveals_paysForTheNextRound() public {
        JobTerms memory terms = _terms();
        uint256 r = market.free(requester);
        bytes32 id = _drawn(terms);
        uint32[] memory first = market.getRound(id, 1).seats;
        _commitAll(id, _vote(950_000));
        _reveal(id, 0, _vote(950_000));
        skip(terms.revealWindow);
        market.close(id);
        assertEq(market.getJob(id).round, 2);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE, "decided all the same");
        assertGe(market.free(requester), r - PRICE - 3 * FEE, "and never at the requester's expense");
        _cost("undoing a round by withholding", 2 * uint256(STAKE), _stakeOf(first[1]) + _stakeOf(first[2]));
        assertEq(2 * uint256(STAKE) - _stakeOf(first[1]) - _stakeOf(first[2]), 16 * FEE);
    }

    /// @notice Threat 11, P3.2: all seats of three rounds are silent: everybody has all back, and each silent place paid 4f.
    function test_threat11_everySeatSilent_everybodyHasAllBack() public {
        JobTerms memory terms = _terms();
        uint256 r = market.free(requester);
        uint256 stakes = _locked();
        bytes32 id = _drawn(terms);
        for (uint256 round = 1; round <= 3; ++round) {
            if (round > 1) _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        market.settle(terms);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Void));
        assertEq(market.free(requester), r);
        assertEq(market.free(providers[0]), 10_000e18);
        _cost("silence of 3 + 7 + 15 seats", stakes, _locked());
        assertEq(stakes - _locked(), (3 + 7 + 15) * 4 * FEE);
        assertEq(market.burned(), (3 + 7 + 15) * 4 * FEE);
    }

    /// @notice Threat 13, P5.5: leaving between commit and settlement takes nothing out of reach.
    function test_threat13_seatThatLeavesAfterItsCommit_isStillSlashed() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commitAll(id, _vote(700_000));
        uint32 liar = _seat(id, 0);
        address cold = market.getSeat(liar).cold;
        vm.prank(cold);
        market.exit(liar);
        assertFalse(_tries(cold, abi.encodeCall(market.unstake, (liar))));
        _revealAll(id, _vote(700_000));
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        assertFalse(_tries(cold, abi.encodeCall(market.unstake, (liar))));
        _settle(terms);
        assertEq(_stakeOf(liar), STAKE / 2);
        skip(market.exitDelay());
        uint256 before = market.free(cold);
        market.unstake(liar);
        assertEq(market.free(cold), before + STAKE / 2);
        _cost("leaving before the slash", STAKE, STAKE / 2);
    }

    /// @notice Threat 14, P5.2: seats that come, go or change their keys after accept draw nobody else.
    /// forge-config: default.fuzz.runs = 128
    /// forge-config: ci.fuzz.runs = 1000
    function testFuzz_threat14_seatsThatChangeAfterAccept_areNotDrawn(bytes32 entropy, uint8 leaving) public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _fund(stranger, 40 * uint256(STAKE));
        vm.prank(stranger);
        market.stake(40, stranger, 0);
        uint32 gone = leaving % 24;
        address cold = market.getSeat(gone).cold;
        vm.prank(cold);
        market.exit(gone);
        _roll(1);
        _submit(id, 0, WORD);
        uint256 seedBlock = market.getJob(id).seedBlock;
        vm.roll(seedBlock + 1);
        vm.setBlockhash(seedBlock, entropy == 0 ? bytes32(uint256(1)) : entropy);
        market.pin(id);
        uint32[] memory seats = market.getRound(id, 1).seats;
        for (uint256 place; place < seats.length; ++place) {
            assertLt(seats[place], 24, "staked too late");
            assertTrue(seats[place] != gone, "left in time");
        }
    }

    /// @notice Threat 15, P5.4: a lying majority is overturned by a bigger committee, and pays half its stake each.
    function test_threat15_lyingMajority_losesHalfItsStake() public {
        JobTerms memory terms = _terms();
        uint256 p = market.free(providers[0]);
        bytes32 id = _drawn(terms);
        uint32[] memory liars = market.getRound(id, 1).seats;
        for (uint256 place; place < 3; ++place) {
            _commit(id, place, _vote(place < 2 ? 700_000 : 950_000));
        }
        for (uint256 place; place < 3; ++place) {
            _reveal(id, place, _vote(place < 2 ? 700_000 : 950_000));
        }
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertGt(market.free(providers[0]), p + PRICE, "paid, and its bond once over from the slashes");
        _cost("two lying seats", 2 * uint256(STAKE), _stakeOf(liars[0]) + _stakeOf(liars[1]));
        assertEq(_stakeOf(liars[0]), STAKE / 2);
        assertEq(_stakeOf(liars[1]), STAKE / 2);
        assertEq(_stakeOf(liars[2]), STAKE, "who was right in the minority loses nothing");
    }

    /// @notice Threat 24, P5.3: a builder that may drop one block has two draws to choose from. With a quarter of 400 seats it
    /// has a majority of three with 16 % by chance; two tries give it 29 % at most, and no more than twice the chance.
    function test_threat24_choosingBetweenTwoSeeds_lessThanDoublesTheChance() public {
        uint256 once;
        uint256 either;
        for (uint256 i; i < 4000; ++i) {
            bool first = _isMajority(keccak256(abi.encode("seed", i)));
            bool second = _isMajority(keccak256(abi.encode("another", i)));
            if (first) ++once;
            if (first || second) ++either;
        }
        emit log_named_uint("majorities by chance, of 4000", once);
        emit log_named_uint("majorities with two seeds to choose from", either);
        emit log_named_string("cost of dropping a block", "its reward, each time");
        assertApproxEqRel(once, 4000 * 156 / 1000, 0.15e18);
        assertLt(either, 2 * once);
    }

    /// @dev Whether seats 0 to 99 of 400 have two of three places.
    function _isMajority(bytes32 seed) private pure returns (bool) {
        uint256 captured;
        uint32[3] memory seats;
        uint256 drawn;
        for (uint256 k; drawn < 3; ++k) {
            uint32 seat = Committee.candidate(seed, WORD, 1, k, 400);
            if ((drawn > 0 && seat == seats[0]) || (drawn > 1 && seat == seats[1])) continue;
            seats[drawn++] = seat;
            if (seat < 100) ++captured;
        }
        return captured > 1;
    }
}
