// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {Base} from "./Base.t.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice P1.4: what the events say of a job's money is complete, exact, and by the right name; and no event says nothing.
contract ReceiptsTest is Base {
    struct Line {
        address to;
        Purpose purpose;
        uint256 amount;
    }

    Line[] private _expected;

    /* ------------------------------------------------------------------------ settlement */

    function test_settle_belowTheFloor_saysCollateralFeesAndRest() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(700_000));
        _expectFees(id, FEE);
        _expect(requester, Purpose.Collateral, 3 * FEE);
        _expect(providers[0], Purpose.Collateral, terms.collateral - 3 * FEE);
        _expect(requester, Purpose.Bond, terms.bond);
        _expect(requester, Purpose.Refund, PRICE);
        _settlesAsExpected(terms);
    }

    /// @notice P7.1: a lane that was not paid for leaves no artifact.
    function test_settle_belowTheFloor_saysNoArtifact() public {
        JobTerms memory terms = _terms();
        _scored(terms, _vote(799_999));
        vm.recordLogs();
        _settle(terms);
        assertEq(_count(vm.getRecordedLogs(), Artifact.selector), 0);
    }

    /// @notice A bid at the price cap leaves nothing of the escrow: no event says that nothing came back.
    function test_accept_atThePriceCap_saysNoRefund() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, terms.priceCap);
        vm.recordLogs();
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        assertEq(_count(vm.getRecordedLogs(), Paid.selector), 0);
    }

    function test_settle_atTheTarget_saysPayoutRoyaltiesAndNoRefund() public {
        JobTerms memory terms = _terms();
        terms.parents = new Parent[](2);
        terms.parents[0] = Parent(WORD, makeAddr("a parent"), 1500);
        terms.parents[1] = Parent(WORD, makeAddr("another"), 0);
        bytes32 id = _scored(terms, _vote(950_000));
        _expectFees(id, FEE);
        _expect(makeAddr("a parent"), Purpose.Royalty, PRICE * 15 / 100);
        _expect(providers[0], Purpose.Payout, PRICE * 85 / 100);
        _expect(providers[0], Purpose.Collateral, terms.collateral);
        _expect(requester, Purpose.Bond, terms.bond);
        _settlesAsExpected(terms);
    }

    function test_settle_appealLostByAProvider_saysWhoHasTheBond() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        _round(id, _vote(950_000));
        _expectFeesOf(market.getRound(id, 1).seats, FEE);
        _expectFeesOf(market.getRound(id, 2).seats, FEE);
        _expect(requester, Purpose.AppealBond, 14 * FEE - 7 * FEE);
        _expect(providers[0], Purpose.Payout, PRICE);
        _expect(providers[0], Purpose.Collateral, terms.collateral);
        _expect(requester, Purpose.Bond, terms.bond);
        _settlesAsExpected(terms);
    }

    /// @notice A seat that was silent and has left since has nothing to be fined: no event says that it was.
    function test_settle_silentSeatThatLeft_saysNoFine() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        for (uint256 place; place < 2; ++place) {
            _commit(id, place, _vote(950_000));
        }
        skip(terms.commitWindow);
        for (uint256 place; place < 2; ++place) {
            _reveal(id, place, _vote(950_000));
        }
        uint32 silent = _seat(id, 2);
        vm.prank(market.getSeat(silent).cold);
        market.exit(silent);
        skip(market.exitDelay());
        market.unstake(silent);
        vm.recordLogs();
        market.settle(terms);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        assertEq(_count(logs, Slashed.selector), 0);
        assertEq(_count(logs, Exiting.selector), 0, "nor that it leaves once more");
        assertEq(market.liveSeats(), 23);
    }

    /// @notice P3.6: what a requester's lost bond leaves goes to the providers who submitted, and to no other.
    function test_settle_appealLostByTheRequester_paysOnlyWhoSubmitted() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _accept(terms);
        _submit(id, 1, WORD);
        skip(terms.workWindow);
        market.close(id);
        bytes32 vote = Votes.withLane(0, 1, 950_000);
        _round(id, vote);
        vm.prank(requester);
        market.appeal(terms, 0);
        _round(id, vote);
        _settle(terms);
        assertEq(market.free(providers[1]), 10_000e18 + PRICE + 18e18 - 7 * FEE);
        assertEq(market.free(providers[0]), 10_000e18 - terms.collateral);
    }

    function test_settle_silentSeats_saysWhatWasBurned_toNobody() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commit(id, 0, _vote(950_000));
        _commit(id, 1, _vote(950_000));
        skip(terms.commitWindow);
        _reveal(id, 0, _vote(950_000));
        _reveal(id, 1, _vote(950_000));
        uint32[] memory seats = market.getRound(id, 1).seats;
        _expect(market.getSeat(seats[0]).cold, Purpose.Fee, FEE);
        _expect(market.getSeat(seats[1]).cold, Purpose.Fee, FEE);
        _expect(providers[0], Purpose.Payout, PRICE);
        _expect(providers[0], Purpose.Collateral, terms.collateral);
        _expect(requester, Purpose.Bond, terms.bond);
        _expect(address(0), Purpose.Burned, 4 * FEE);
        _expect(requester, Purpose.Refund, FEE);
        _settlesAsExpected(terms);
    }

    /* ------------------------------------------------------------------- who is fined what */

    /// @notice P5.4: MISSING where the deciding round found a score costs 8f, a wrong score S/2.
    function test_fine_ofMissing_is8f() public {
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _demandedAndAnswered(terms, id);
        _commitAll(id, _vote(Votes.MISSING));
        _revealAll(id, _vote(Votes.MISSING));
        uint32[] memory first = market.getRound(id, 1).seats;
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        _round(id, _vote(950_000));
        _settle(terms);
        for (uint256 place; place < 3; ++place) {
            assertEq(market.getSeat(first[place]).stake, STAKE - 8 * FEE);
        }
    }

    /// @notice P5.4: a wrong score costs S/2 however little it is wrong, and so does BAD; a wrong code in one lane costs 8f,
    /// whatever the other lanes say.
    function test_fine_isOfTheLaneThatDiffers() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 truth = Votes.withLane(_vote(950_000), 1, 940_000);
        bytes32 id = _drawn(terms);
        bytes32[3] memory votes = [
            Votes.withLane(truth, 1, Votes.MISSING),
            Votes.withLane(truth, 1, 940_001),
            Votes.withLane(truth, 0, Votes.BAD)
        ];
        for (uint256 place; place < 3; ++place) {
            _commit(id, place, votes[place]);
        }
        for (uint256 place; place < 3; ++place) {
            _reveal(id, place, votes[place]);
        }
        uint32[] memory first = market.getRound(id, 1).seats;
        _round(id, truth);
        _settle(terms);
        assertEq(market.getSeat(first[0]).stake, STAKE - 8 * FEE);
        assertEq(market.getSeat(first[1]).stake, STAKE / 2);
        assertEq(market.getSeat(first[2]).stake, STAKE / 2);
    }

    /// @notice P5.4: BAD is a verdict like a score: whoever gave weights a score that do not even open pays S/2.
    function test_fine_ofAScore_whereTheDecidingRoundFoundBad_isHalfTheStake() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        uint32[] memory first = market.getRound(id, 1).seats;
        vm.prank(requester);
        market.appeal(terms, 0);
        _round(id, _vote(Votes.BAD));
        _settle(terms);
        for (uint256 place; place < 3; ++place) {
            assertEq(market.getSeat(first[place]).stake, STAKE / 2);
        }
    }

    /// @notice P5.4: a deciding round that calls a lane MISSING compares nobody: a provider cannot slash by not delivering.
    function test_fine_whereTheDecidingRoundFoundMissing_isNone() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(700_000));
        uint32[] memory first = market.getRound(id, 1).seats;
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        _pin(id);
        _demandedAndAnswered(terms, id);
        _commitAll(id, _vote(Votes.MISSING));
        _revealAll(id, _vote(Votes.MISSING));
        assertEq(market.getJob(id).result, _vote(Votes.MISSING));
        _settle(terms);
        for (uint256 place; place < 3; ++place) {
            assertEq(market.getSeat(first[place]).stake, STAKE);
        }
    }

    /// @notice P5.4: nor does a lane that went MISSING after the deciding round: silence in round 3 slashes nobody of round 1.
    function test_fine_whereALaneWentMissingAfterTheDecidingRound_isNone() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _scored(terms, Votes.withLane(_vote(950_000), 1, 700_000));
        uint32[] memory first = market.getRound(id, 1).seats;
        vm.prank(providers[1]);
        market.appeal(_told(id), 0);
        _round(id, Votes.withLane(_vote(950_000), 1, 950_000));
        vm.prank(requester);
        market.appeal(_told(id), 0);
        _pin(id);
        address hot = _hotAt(id, 0);
        vm.prank(hot);
        market.demand(_told(id), 1, 0);
        skip(terms.releaseWindow);
        market.close(id); // lane 1 is MISSING
        skip(terms.commitWindow);
        market.close(id); // nobody voted: round 2 stands
        assertEq(market.getJob(id).missing, 2);
        _settle(terms);
        for (uint256 place; place < 3; ++place) {
            assertGe(market.getSeat(first[place]).stake, STAKE - 4 * FEE, "absent from round 3 at most");
        }
    }

    /// @notice P3.2: a tied round earns nobody a fee, the requester has those back; the next is paid by who was wrong.
    function test_fees_ofTheRoundAfterATie_areOfThoseWhoWereWrong() public {
        JobTerms memory terms = _terms();
        uint256 r = market.free(requester);
        bytes32 id = _drawn(terms);
        for (uint32 place; place < 3; ++place) {
            _commit(id, place, _vote(950_000 - place));
        }
        for (uint32 place; place < 3; ++place) {
            _reveal(id, place, _vote(950_000 - place));
        }
        _round(id, _vote(950_000));
        uint256 colds = _coldsFree();
        _settle(terms);
        // Two of round 1 differ from what was decided: S/2 each pays seven whole fees, and the rest is burned.
        assertEq(_coldsFree(), colds + 7 * FEE);
        assertEq(market.burned(), STAKE - 7 * FEE);
        assertEq(market.free(requester), r - PRICE);
    }

    /// @notice P3.2: what round 2 had of round 1's fees is not there for round 3 once more: nobody else's money pays it.
    function test_fees_ofRoundsThatDecidedNothing_areThoseOfRound1_onceOnly() public {
        JobTerms memory terms = _terms();
        terms.fee = 0.7e18; // three of these are seven of 0.3
        (uint256 r, uint256 colds) = (market.free(requester), _coldsFree());
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        for (uint256 tries; tries < 2; ++tries) {
            skip(terms.commitWindow);
            market.close(id); // nobody pinned: reseeded, then over
        }
        for (uint8 round = 2; round <= 3; ++round) {
            _pin(id);
            uint256 size = market.getRound(id, round).size;
            for (uint256 place; place < size; ++place) {
                _commit(id, place, _vote(uint32(place)));
            }
            for (uint256 place; place < size; ++place) {
                _reveal(id, place, _vote(uint32(place)));
            }
        }
        market.settle(terms);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Void));
        assertEq(_coldsFree(), colds + 3 * uint256(terms.fee));
        assertEq(market.free(requester), r - 3 * uint256(terms.fee));
    }

    /* ------------------------------------------------------------------- demands and states */

    function test_demands_ofARound_areForgottenWhenItScores() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _drawn(terms);
        address hot = _hotAt(id, 0);
        vm.prank(hot);
        market.demand(_told(id), 1, 0);
        assertEq(market.getJob(id).demanders, 0, "a seat is no lane");
        skip(terms.releaseWindow);
        vm.recordLogs();
        market.close(id);
        assertEq(_count(vm.getRecordedLogs(), Unanswered.selector), 1, "of the silent party alone");
        assertEq(market.getJob(id).pending, 0);
        bytes32 vote = Votes.withLane(_vote(950_000), 1, 950_000);
        _commitAll(id, vote);
        _revealAll(id, vote);
        JobView memory job = market.getJob(id);
        assertEq(job.demanded, 0);
        assertEq(job.demanders, 0);
        assertEq(job.pending, 0);
    }

    function test_demand_byTheRequester_isNobodysLane() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        vm.prank(requester);
        market.demand(_told(id), 0, 0);
        assertEq(market.getJob(id).demanders, 0);
        assertEq(market.getJob(id).pending, 1);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(NothingDemanded.selector, id, 9));
        market.answer(_told(id), 9, "");
    }

    function test_cancel_saysTheWholeEscrow_andTheEnd() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        vm.expectEmit(address(market));
        emit Paid(id, requester, Purpose.Refund, 133e18);
        vm.expectEmit(address(market));
        emit Settled(id, Outcome.Cancelled, 0);
        vm.prank(requester);
        market.cancel(_told(id));
    }

    function test_unstake_saysWhatLeft() public {
        address cold = market.getSeat(5).cold;
        vm.prank(cold);
        market.exit(5);
        skip(market.exitDelay());
        vm.expectEmit(address(market));
        emit Unstaked(5, cold, STAKE);
        market.unstake(5);
    }

    /// @notice P3.6: 15 % of V in round 3, where that is more than the fees.
    function test_appealBond_ofTheThirdRound_is15Percent() public {
        JobTerms memory terms = _terms();
        (terms.fee, terms.priceCap, terms.collateral, terms.bond) = (0.1e18, 1000e18, 200e18, 200e18);
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, 1000e18);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        _submit(id, 0, WORD);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        vm.prank(requester);
        market.appeal(_told(id), 0);
        assertEq(market.getRound(id, 2).appealBond, 100e18);
        _round(id, _vote(950_000));
        vm.expectEmit(address(market));
        emit Appealed(id, 3, requester, 150e18);
        vm.prank(requester);
        market.appeal(_told(id), 0);
        assertEq(market.getRound(id, 3).appealBond, 150e18);
    }

    /// @notice P3.2: of a void job only who never submitted forfeits its collateral, whichever lanes those are.
    function test_void_collateralOfTheAbsentLanesOnly_isTheRequesters() public {
        JobTerms memory terms = _termsOf(3);
        uint256 r = market.free(requester);
        bytes32 id = _accept(terms);
        _submit(id, 1, WORD);
        skip(terms.workWindow);
        market.close(id);
        for (uint256 round; round < 3; ++round) {
            _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        market.settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 - terms.collateral);
        assertEq(market.free(providers[1]), 10_000e18);
        assertEq(market.free(providers[2]), 10_000e18 - terms.collateral);
        assertEq(market.free(requester), r + 2 * terms.collateral);
    }

    function test_submit_ofALaneThereIsNot_isRefused() public {
        JobTerms memory terms = _termsOf(8);
        bytes32 id = _accept(terms);
        for (uint8 lane = 8; lane < 10; ++lane) {
            vm.prank(providers[0]);
            vm.expectRevert(abi.encodeWithSelector(NotProvider.selector, providers[0], lane));
            market.submit(id, lane, WORD);
        }
    }

    function test_demand_ofALaneThatNeverSubmitted_isRefused() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        skip(terms.workWindow);
        market.close(id);
        _pin(id);
        address hot = _hotAt(id, 0);
        vm.prank(hot);
        vm.expectRevert(abi.encodeWithSelector(BadParty.selector, 1));
        market.demand(_told(id), 1, 0);
    }

    /// @notice P3.4: a seat that left before anybody settled leaves its fee to the requester.
    function test_settle_feeOfASeatThatLeft_isTheRequesters() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        uint256 r = market.free(requester);
        uint32 seat = _seat(id, 0);
        address cold = market.getSeat(seat).cold;
        vm.prank(cold);
        market.exit(seat);
        skip(market.exitDelay());
        market.unstake(seat);
        market.settle(terms);
        assertEq(market.free(requester), r + 100e18 - 90e18 - 10e18 + terms.bond + FEE);
    }

    /* --------------------------------------------------------------------------- helpers */

    function _round(bytes32 id, bytes32 vote) private {
        _pin(id);
        _commitAll(id, vote);
        _revealAll(id, vote);
    }

    function _demandedAndAnswered(JobTerms memory terms, bytes32 id) private {
        assertEq(terms.lanes, 1);
        address hot = _hotAt(id, 0);
        vm.prank(hot);
        market.demand(_told(id), 0, 0);
        vm.prank(providers[0]);
        market.answer(_told(id), 0, "");
    }

    function _coldsFree() private view returns (uint256 sum) {
        for (uint256 i; i < OWNERS; ++i) {
            sum += market.free(_owner(i));
        }
    }

    function _expect(address to, Purpose purpose, uint256 amount) private {
        _expected.push(Line(to, purpose, amount));
    }

    function _expectFees(bytes32 id, uint256 fee) private {
        _expectFeesOf(market.getRound(id, 1).seats, fee);
    }

    function _expectFeesOf(uint32[] memory seats, uint256 fee) private {
        for (uint256 place; place < seats.length; ++place) {
            _expect(market.getSeat(seats[place]).cold, Purpose.Fee, fee);
        }
    }

    /// @dev Exactly these receipts, in whatever order.
    function _settlesAsExpected(JobTerms memory terms) private {
        vm.recordLogs();
        _settle(terms);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 found;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != Paid.selector) continue;
            ++found;
            address to = address(uint160(uint256(logs[i].topics[2])));
            _strike(to, Purpose(uint256(logs[i].topics[3])), abi.decode(logs[i].data, (uint256)));
        }
        assertEq(found, _expected.length, "as many as expected");
    }

    /// @dev Strikes one equal receipt off the list.
    function _strike(address to, Purpose purpose, uint256 amount) private {
        for (uint256 i; i < _expected.length; ++i) {
            Line storage each = _expected[i];
            if (each.to != to || each.purpose != purpose || each.amount != amount) continue;
            each.amount = type(uint256).max;
            return;
        }
        emit log_named_address("to", to);
        emit log_named_uint("purpose", uint256(purpose));
        emit log_named_uint("amount", amount);
        fail();
    }

    function _count(Vm.Log[] memory logs, bytes32 selector) private pure returns (uint256 count) {
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == selector) ++count;
        }
    }
}
