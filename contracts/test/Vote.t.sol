// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Votes} from "../src/libraries/Votes.sol";
import {FixedBeacon} from "./mocks/Accounts.sol";

/// @notice P3.5, P5.2, P5.3: draw, pin, commit and reveal.
contract VoteTest is Base {
    bytes32 private constant VOTE = bytes32(uint256(900_000));

    /* --------------------------------------------------------------------- draw */

    function test_pin_storesTheDrawThatAnybodyCanRecompute() public {
        bytes32 id = _accept(_terms());
        _submit(id, 0, WORD);
        uint256 seedBlock = market.getJob(id).seedBlock;
        vm.roll(seedBlock);
        vm.expectRevert(abi.encodeWithSelector(SeedNotReady.selector, seedBlock, seedBlock));
        market.pin(id);
        vm.roll(seedBlock + 1);
        (bytes32 seed, uint32[] memory seats) = market.committee(id);
        assertEq(seed, blockhash(seedBlock));
        _assertSame(seats, _drawByHand(seed, id, 1, 3, 24));
        vm.expectEmit(address(market));
        emit Drawn(id, 1, seed, seats);
        market.pin(id);
        _assertSame(market.getRound(id, 1).seats, seats);
        vm.expectRevert(abi.encodeWithSelector(AlreadyDrawn.selector, id, 1));
        market.pin(id);
        (, uint32[] memory pinned) = market.committee(id);
        _assertSame(pinned, seats);
    }

    function testFuzz_draw_isDistinctLiveAndReproducible(bytes32 entropy) public {
        bytes32 id = _accept(_terms());
        _submit(id, 0, WORD);
        uint256 seedBlock = market.getJob(id).seedBlock;
        vm.roll(seedBlock + 1);
        vm.setBlockhash(seedBlock, entropy == 0 ? bytes32(uint256(1)) : entropy);
        market.pin(id);
        uint32[] memory seats = market.getRound(id, 1).seats;
        _assertSame(seats, _drawByHand(blockhash(seedBlock), id, 1, 3, 24));
        for (uint256 i; i < 3; ++i) {
            assertTrue(seats[i] != seats[(i + 1) % 3]);
        }
    }

    function test_draw_exitingBeforeTheSeedBlock_isPassedOver_laterIsNot() public {
        JobTerms memory terms = _terms();
        _moreSeats(1);
        bytes32 id = _accept(terms);
        _leave(0, 23);
        _roll(1);
        _submit(id, 0, WORD);
        _roll(2);
        vm.prank(market.getSeat(24).cold);
        market.exit(24); // in the seed's own block
        _roll(1);
        (, uint32[] memory seats) = market.committee(id);
        for (uint256 i; i < 3; ++i) {
            assertTrue(seats[i] >= 23, "only two are live");
        }
        assertLt(seats[1], 25, "both of them are drawn");
        assertEq(seats[2], Committee.VACANT);
        vm.prank(market.getSeat(23).cold);
        market.exit(23); // in the block after the seed's: too late to leave the committee
        (, uint32[] memory later) = market.committee(id);
        _assertSame(later, seats);
    }

    /// @notice P5.2: whoever stakes in the block of the accept could have seen the job. Its index is an old one here.
    function test_draw_indexTakenAnewInTheAcceptBlock_isPassedOver() public {
        vm.prank(market.getSeat(5).cold);
        market.exit(5);
        skip(market.exitDelay());
        market.unstake(5);
        _roll(1);
        _fund(stranger, STAKE);
        vm.prank(stranger);
        assertEq(market.stake(1, stranger, 0), 5);
        bytes32 id = _accept(_terms());
        _submit(id, 0, WORD);
        _roll(3);
        bytes32 seed;
        for (uint256 i = 1; seed == 0; ++i) {
            if (Committee.candidate(bytes32(i), id, 1, 0, 24) == 5) seed = bytes32(i);
        }
        vm.setBlockhash(market.getJob(id).seedBlock, seed);
        (, uint32[] memory seats) = market.committee(id);
        for (uint256 place; place < 3; ++place) {
            assertNotEq(seats[place], 5);
        }
    }

    /// @notice P5.2: sixteen candidates a place; what the forty-ninth would be does not count.
    function test_draw_triesSixteenCandidatesAPlace_andNotOneMore() public {
        bytes32 id = _accept(_terms());
        _leave(0, 21);
        _roll(1);
        _submit(id, 0, WORD);
        _roll(3);
        uint256 seedBlock = market.getJob(id).seedBlock;
        vm.setBlockhash(seedBlock, _seedWhoseThird(id, 47));
        (, uint32[] memory seats) = market.committee(id);
        assertEq(uint256(seats[0]) + seats[1] + seats[2], 21 + 22 + 23);
        vm.setBlockhash(seedBlock, _seedWhoseThird(id, 48));
        (, seats) = market.committee(id);
        assertLt(seats[1], 24);
        assertEq(seats[2], Committee.VACANT);
    }

    /// @dev A seed with which the third of the seats 21, 22 and 23 comes up as candidate `k`.
    function _seedWhoseThird(bytes32 id, uint256 k) private pure returns (bytes32 seed) {
        for (uint256 i = 1;; ++i) {
            seed = bytes32(i);
            uint256 found; // a bit a seat
            uint256 at;
            for (; at <= k && found != 7; ++at) {
                uint32 seat = Committee.candidate(seed, id, 1, at, 24);
                if (seat >= 21) found |= 1 << (seat - 21);
            }
            if (found == 7 && at == k + 1) return seed;
        }
    }

    function test_draw_seatsStakedInTheAcceptBlockOrLater_areNotLive() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _fund(stranger, 100 * STAKE);
        vm.prank(stranger);
        market.stake(100, stranger, 0);
        _submit(id, 0, WORD);
        _pin(id);
        for (uint256 i; i < 3; ++i) {
            assertLt(_seat(id, i), 24, "seatCount is fixed at accept");
        }
    }

    function test_pin_hashGone_reseedsOnce() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        _roll(300);
        address anybody = _hot(0);
        uint256 seedBlock = market.getJob(id).seedBlock;
        vm.prank(anybody);
        vm.expectRevert(abi.encodeWithSelector(SeedGone.selector, seedBlock));
        market.commit(id, 0, keccak256("commit"));
        vm.expectEmit(address(market));
        emit Reseeded(id, 1, uint40(vm.getBlockNumber() + 2));
        market.pin(id);
        _roll(300);
        seedBlock = market.getJob(id).seedBlock;
        vm.expectRevert(abi.encodeWithSelector(SeedGone.selector, seedBlock));
        market.pin(id);
    }

    function test_beacon_givesTheSeed_zeroMeansGone() public {
        FixedBeacon beacon = new FixedBeacon();
        market = _deployMarket(address(token), STAKE, 0.01e18, address(beacon), _limits());
        _fund(requester, 1000e18);
        _fund(providers[0], 100e18);
        _moreSeats(24);
        bytes32 id = _accept(_terms());
        _submit(id, 0, WORD);
        uint256 seedBlock = market.getJob(id).seedBlock;
        _roll(5);
        vm.expectRevert(abi.encodeWithSelector(SeedGone.selector, seedBlock));
        market.committee(id);
        beacon.setSeed(seedBlock, keccak256("seed"));
        market.pin(id);
        assertEq(market.getRound(id, 1).seed, keccak256("seed"));
    }

    /* ------------------------------------------------------------------- commit */

    function test_commit_firstOnePins_lastOneOpensReveals() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        _roll(3);
        (, uint32[] memory seats) = market.committee(id);
        for (uint256 place; place < 3; ++place) {
            assertEq(uint8(_state(id)), uint8(State.Committing));
            vm.prank(market.getSeat(seats[place]).hot);
            market.commit(id, place, keccak256(abi.encode(place)));
            assertEq(market.getRound(id, 1).committed, (2 << place) - 1);
        }
        assertEq(uint8(_state(id)), uint8(State.Revealing));
        assertEq(market.getRound(id, 1).committed, 7);
        assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.revealWindow);
    }

    function test_commit_twice_byOthers_empty_orLate_reverts() public {
        bytes32 id = _drawn(_terms());
        address hot = _hotAt(id, 0);
        vm.startPrank(hot);
        vm.expectRevert(ZeroWord.selector);
        market.commit(id, 0, 0);
        market.commit(id, 0, WORD);
        vm.expectRevert(abi.encodeWithSelector(AlreadyCommitted.selector, id, 1, 0));
        market.commit(id, 0, keccak256("a second opinion"));
        vm.expectRevert(abi.encodeWithSelector(NotSeat.selector, hot, 3));
        market.commit(id, 3, WORD);
        vm.stopPrank();
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(NotSeat.selector, stranger, 1));
        market.commit(id, 1, WORD);
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        hot = _hotAt(id, 1);
        vm.prank(hot);
        vm.expectRevert(abi.encodeWithSelector(TooLate.selector, deadline, deadline));
        market.commit(id, 1, WORD);
    }

    /// @notice P5.3: who was drawn stays drawn, though the chain has forgotten the seed's hash.
    function test_commit_longAfterTheDraw_counts() public {
        bytes32 id = _drawn(_terms());
        uint32 seat = _seat(id, 0);
        _roll(300);
        vm.expectEmit(address(market));
        emit Committed(id, seat, 1, 0, _commitment(id, 1, seat, VOTE));
        _commitHash(id, 1, 0, _hotAt(id, 0), _commitment(id, 1, seat, VOTE));
        assertEq(market.getRound(id, 1).committed, 1);
    }

    /// @notice P5.3: seats are drawn for those who commit; before and after that there is nobody to draw.
    function test_pin_whileNobodyCommits_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Running));
        market.pin(id);
        terms.salt = keccak256("scored");
        id = _scored(terms, VOTE);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Scored));
        market.pin(id);
    }

    /// @notice P5.2: what is not drawn reads as zero, and zero is a seat: it sits at no place beyond n, and at none before the
    /// draw.
    function test_commit_whereNobodySits_isNotForSeatZero() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        address hot = market.getSeat(0).hot;
        vm.startPrank(hot);
        vm.expectRevert(abi.encodeWithSelector(NotSeat.selector, hot, 0));
        market.demand(terms, REQUESTER, 0);
        _pin(id);
        for (uint256 place = 3; place < 12; ++place) {
            vm.expectRevert(abi.encodeWithSelector(NotSeat.selector, hot, place));
            market.commit(id, place, WORD);
        }
    }

    function test_commit_rotatedHotKey_votesForItsSeat() public {
        bytes32 id = _drawn(_terms());
        uint32 seat = _seat(id, 0);
        address old = market.getSeat(seat).hot;
        vm.prank(market.getSeat(seat).cold);
        market.rotate(seat, stranger, 0);
        vm.prank(old);
        vm.expectRevert(abi.encodeWithSelector(NotSeat.selector, old, 0));
        market.commit(id, 0, WORD);
        vm.prank(stranger);
        market.commit(id, 0, WORD);
    }

    /* ------------------------------------------------------------------- reveal */

    function test_reveal_overwritesTheCommit_lastOneScores() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commitAll(id, VOTE);
        vm.expectEmit(address(market));
        emit Revealed(id, _seat(id, 0), 1, 0, VOTE, _evidence(VOTE));
        vm.prank(stranger); // anyone who knows the salt
        _reveal(id, 0, VOTE);
        assertEq(market.getVote(id, 1, 0), VOTE);
        _reveal(id, 1, VOTE);
        vm.expectRevert(abi.encodeWithSelector(AlreadyRevealed.selector, id, 1, 1));
        _reveal(id, 1, VOTE);
        vm.expectEmit(address(market));
        emit RoundScored(id, 1, VOTE);
        _reveal(id, 2, VOTE);
        assertEq(uint8(_state(id)), uint8(State.Scored));
        assertEq(market.getRound(id, 1).result, VOTE);
        assertEq(market.getJob(id).deadline, vm.getBlockTimestamp() + terms.challengeWindow);
    }

    function test_reveal_copiedCommit_cannotBeOpened() public {
        bytes32 id = _drawn(_terms());
        _commit(id, 0, VOTE);
        bytes32 copied = _commitment(id, 1, _seat(id, 0), VOTE);
        _commitHash(id, 1, 1, _hotAt(id, 1), copied);
        _commit(id, 2, VOTE);
        _reveal(id, 0, VOTE);
        vm.expectPartialRevert(WrongReveal.selector);
        _reveal(id, 1, VOTE);
    }

    function test_reveal_beforeCommitsEnd_unrevealable_twice_orLate_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commit(id, 0, VOTE);
        _commit(id, 1, VOTE);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Committing));
        _reveal(id, 0, VOTE);
        skip(terms.commitWindow);
        _reveal(id, 0, VOTE); // moves the job on by itself
        vm.expectRevert(abi.encodeWithSelector(AlreadyRevealed.selector, id, 1, 0));
        _reveal(id, 0, VOTE);
        vm.expectRevert(abi.encodeWithSelector(NotCommitted.selector, id, 1, 2));
        _reveal(id, 2, VOTE);
        vm.expectRevert(abi.encodeWithSelector(NotCommitted.selector, id, 1, 3));
        _reveal(id, 3, VOTE);
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(TooLate.selector, deadline, deadline));
        _reveal(id, 1, VOTE);
    }

    function testFuzz_reveal_usedLaneAboveTheCodes_reverts(uint32 value) public {
        value = uint32(bound(value, uint256(Votes.NO_DATA) + 1, type(uint32).max));
        bytes32 id = _drawn(_terms());
        _commitAll(id, _vote(value));
        vm.expectRevert(abi.encodeWithSelector(VoteOutOfRange.selector, 0, value));
        _reveal(id, 0, _vote(value));
    }

    function test_reveal_majorityOfTheCommitteeNotOfTheRevealed() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commitAll(id, VOTE);
        _reveal(id, 0, VOTE);
        skip(terms.revealWindow);
        market.close(id);
        assertEq(market.getJob(id).round, 2, "one of one revealed is not two of three (P3.2)");
    }

    /* ------------------------------------------------------------------ helpers */

    function _assertSame(uint32[] memory left, uint32[] memory right) private pure {
        assertEq(abi.encode(left), abi.encode(right));
    }

    function _drawByHand(bytes32 seed, bytes32 id, uint8 round, uint256 n, uint32 among)
        private
        pure
        returns (uint32[] memory seats)
    {
        seats = new uint32[](n);
        uint256 found;
        for (uint256 k; found < n; ++k) {
            uint32 seat = uint32(uint256(keccak256(abi.encode(seed, id, round, k))) % among);
            bool seen;
            for (uint256 i; i < found; ++i) {
                seen = seen || seats[i] == seat;
            }
            if (!seen) seats[found++] = seat;
        }
    }
}
