// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Vm} from "forge-std/Vm.sol";
import {Signing} from "./Signing.sol";
import {IMarket} from "../src/interfaces/IMarket.sol";
import {Votes} from "../src/libraries/Votes.sol";
import {ContractWallet} from "./mocks/Accounts.sol";

/// @notice P6.1, the cooperative road: a job ends as requester and providers signed that it ends.
contract AgreeTest is Signing {
    uint64 private constant FOREVER = type(uint64).max;

    function test_agree_jobThatWasNeverPosted_isOneTransaction() public {
        JobTerms memory terms = _terms();
        bytes32 id = _remember(terms);
        uint256 before = market.free(requester);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 80e18);
        vm.expectEmit(address(market));
        emit Posted(id, requester, terms);
        vm.expectEmit(address(market));
        emit LaneSettled(id, 0, providers[0], 900_000, 80e18);
        vm.expectEmit(address(market));
        emit Settled(id, Outcome.Agreed, VOTE);
        vm.prank(stranger);
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(market.free(requester), before - 80e18);
        assertEq(market.free(providers[0]), 10_000e18 + 80e18);
        (State state, Outcome outcome, address provider, bytes32 word, uint32 score, bool paid) =
            market.settledLane(id, 0);
        assertEq(uint8(state), uint8(State.Settled));
        assertEq(uint8(outcome), uint8(Outcome.Agreed));
        assertEq(provider, providers[0]);
        assertEq(word, WORD);
        assertEq(score, 900_000);
        assertTrue(paid);
        assertEq(market.getJob(id).result, VOTE);
    }

    /// @notice Seats that committed still get f, nobody is slashed, everybody else has back what they put in.
    function testFuzz_agree_inEveryState_conservesEveryUnit(uint8 stage, uint96 payout) public {
        JobTerms memory terms = _terms();
        payout = uint96(bound(payout, 0, PRICE));
        bytes32 id = _reach(terms, stage % 7);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, payout);
        uint256 burned = market.burned();
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Agreed));
        assertEq(_held(id), 0);
        assertEq(market.burned(), burned);
        assertEq(market.free(providers[0]), 10_000e18 + payout);
        uint256 fees = (stage % 7 >= 3 ? 3 : 0) + (stage % 7 == 6 ? 2 : 0);
        assertEq(market.free(requester), 100_000e18 - payout - fees * FEE);
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            assertEq(market.getSeat(seat).stake, STAKE);
        }
        (,,,,, bool paid) = market.settledLane(id, 0);
        assertEq(paid, payout != 0);
    }

    /// @notice P11 (a): else an answer would give a settled job a new deadline.
    function test_agree_withADemandPending_leavesNothingToAnswer() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        vm.prank(providers[0]);
        market.demand(terms, REQUESTER, 0);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, PRICE);
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(market.getJob(id).pending, 0);
        bytes32 before = keccak256(abi.encode(market.getJob(id)));
        vm.expectRevert(abi.encodeWithSelector(NothingDemanded.selector, id, REQUESTER));
        vm.prank(requester);
        market.answer(terms, REQUESTER, "envelopes");
        assertEq(keccak256(abi.encode(market.getJob(id))), before);
    }

    function test_agree_royaltiesComeOutOfThePayout() public {
        JobTerms memory terms = _terms();
        terms.parents = new Parent[](1);
        terms.parents[0] = Parent(WORD, makeAddr("parent"), 333);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(_remember(terms), 1e18 + 1);
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(market.free(makeAddr("parent")), 0.0333e18);
        assertEq(market.free(providers[0]), 10_000e18 + 1e18 + 1 - 0.0333e18);
    }

    /// @notice P7.1: a lane that is paid leaves an artifact, which nobody measured; one that is not paid leaves none.
    function test_agree_onlyAPaidLane_leavesAnArtifact() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _remember(terms);
        AgreedLane[] memory lanes = new AgreedLane[](2);
        (lanes[0], lanes[1]) = (_lane(0, WORD, 900_000), _lane(1, WORD, 900_000));
        lanes[0].payout = 0;
        bytes[] memory signatures = _signedBy(id, lanes);
        bytes32 artifact = keccak256(abi.encode(id, uint8(1)));
        vm.expectEmit(address(market));
        emit Artifact(artifact, id, providers[1], requester, 1, WORD, terms.taskHash, terms.dataRoot, 900_000, false);
        vm.recordLogs();
        market.agree(terms, lanes, FOREVER, signatures);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        uint256 artifacts;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] == Artifact.selector) ++artifacts;
        }
        assertEq(artifacts, 1);
    }

    /// @notice A seat that committed and left meanwhile is not there to be paid; its fee is the requester's.
    function test_agree_seatThatLeft_isNotPaid() public {
        JobTerms memory terms = _terms();
        bytes32 id = _reach(terms, 3);
        uint32 seat = _seat(id, 0);
        vm.prank(market.getSeat(seat).cold);
        market.exit(seat);
        skip(market.exitDelay());
        market.unstake(seat);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 0);
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(market.free(requester), 100_000e18 - 2 * FEE);
    }

    function test_agree_whoSends_hasSigned() public {
        JobTerms memory terms = _terms();
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(_remember(terms), 80e18);
        signatures[0] = "";
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, requester));
        market.agree(terms, lanes, FOREVER, signatures);
        vm.prank(requester);
        market.agree(terms, lanes, FOREVER, signatures);
    }

    /// @notice P8: a provider may be a contract (ERC-1271).
    function test_agree_contractWallet_maySign() public {
        JobTerms memory terms = _terms();
        bytes32 id = _remember(terms);
        ContractWallet wallet = new ContractWallet();
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 80e18);
        lanes[0].provider = address(wallet);
        bytes32 outcome = _outcomeOf(id, FOREVER, lanes);
        (signatures[0], signatures[1]) = (_signed(_requesterKey, outcome), "");
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, address(wallet)));
        market.agree(terms, lanes, FOREVER, signatures);
        wallet.approve(_digest(outcome));
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(market.free(address(wallet)), 80e18);
    }

    /// @notice Threat 7: an outcome is for one job of one market on one chain, once, and until its time.
    function test_threat7_outcomeReplayed_isRefused() public {
        JobTerms memory terms = _terms();
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(_remember(terms), 80e18);
        bytes memory reason = abi.encodeWithSelector(BadSignature.selector, requester);
        IMarket other = _deployMarket(address(token), STAKE, 0.01e18, address(0), _limits());
        vm.expectRevert(reason);
        other.agree(terms, lanes, FOREVER, signatures);
        vm.chainId(block.chainid + 1);
        vm.expectRevert(reason);
        market.agree(terms, lanes, FOREVER, signatures);
        vm.chainId(31337);
        vm.expectRevert(reason);
        market.agree(terms, lanes, FOREVER - 1, signatures);
        market.agree(terms, lanes, FOREVER, signatures);
        bytes32 id = market.hashTerms(terms);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Settled));
        market.agree(terms, lanes, FOREVER, signatures);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(JobExists.selector, id));
        market.post(terms);
        terms.salt = keccak256("another");
        vm.expectRevert(reason);
        market.agree(terms, lanes, FOREVER, signatures);
    }

    function test_agree_inItsLastSecond_isInTime() public {
        JobTerms memory terms = _terms();
        uint64 last = uint64(vm.getBlockTimestamp() + 60);
        AgreedLane[] memory lanes = new AgreedLane[](1);
        lanes[0] = _lane(0, WORD, 900_000);
        bytes[] memory signatures = _signedByParties(_outcomeOf(_remember(terms), last, lanes), 1);
        skip(61);
        vm.expectRevert(abi.encodeWithSelector(TooLate.selector, last + 1, last + 1));
        market.agree(terms, lanes, last, signatures);
        vm.warp(last);
        market.agree(terms, lanes, last, signatures);
    }

    /// @notice Jobs.Job, slot 2: the chain of commits is of no use any more, and clearing it pays for its change.
    function test_agree_clearsTheChainOfCommits() public {
        JobTerms memory terms = _terms();
        bytes32 id = _reach(terms, 3);
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(id, 5))) + 2); // of _jobs: contracts/snapshots/storage.txt
        assertNotEq(vm.load(address(market), slot), 0);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 80e18);
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(vm.load(address(market), slot), 0);
    }

    function test_agree_withoutAProvidersSignature_orTooLate_orTooDear_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _reach(terms, 2);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 80e18);
        bytes memory own = signatures[1];
        signatures[1] = signatures[0];
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, providers[0]));
        market.agree(terms, lanes, FOREVER, signatures);
        signatures[1] = own;
        vm.expectPartialRevert(TooLate.selector);
        market.agree(terms, lanes, uint64(vm.getBlockTimestamp() - 1), signatures);
        vm.expectRevert(abi.encodeWithSelector(NotAll.selector, 1, 2));
        market.agree(terms, lanes, FOREVER, new bytes[](1));
        (lanes, signatures) = _agreed(id, 1000e18);
        vm.expectPartialRevert(InsufficientFree.selector);
        market.agree(terms, lanes, FOREVER, signatures);
    }

    /// @notice What was accepted and submitted is what is agreed on: no lane more or less, nobody else, nothing else.
    function test_agree_cannotExchangeWhatWasBoundOrSubmitted() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _accept(terms);
        _submit(id, 0, WORD);
        AgreedLane[] memory lanes = new AgreedLane[](2);
        (lanes[0], lanes[1]) = (_lane(0, WORD, 900_000), _lane(1, WORD, 900_000));
        lanes[0].word = keccak256("other");
        _refused(terms, lanes, abi.encodeWithSelector(AlreadySubmitted.selector, id, 0));
        (lanes[0].word, lanes[1].provider) = (WORD, providers[2]);
        _refused(terms, lanes, abi.encodeWithSelector(NotProvider.selector, providers[2], 1));
        (lanes[1].provider, lanes[1].score) = (providers[1], Votes.NO_DATA + 1);
        _refused(terms, lanes, abi.encodeWithSelector(VoteOutOfRange.selector, 1, Votes.NO_DATA + 1));
        AgreedLane[] memory one = new AgreedLane[](1);
        one[0] = lanes[0];
        _refused(terms, one, abi.encodeWithSelector(WrongBidCount.selector, 1, 2));
        _refused(terms, new AgreedLane[](0), abi.encodeWithSelector(WrongBidCount.selector, 0, 2));
        _refused(terms, new AgreedLane[](3), abi.encodeWithSelector(WrongBidCount.selector, 3, 2));
    }

    /// @notice P3.1, P7.3: no road leads around the number of lanes or the sum of royalties.
    function test_agree_termsWithoutShape_areRefused() public {
        JobTerms memory terms = _terms();
        terms.parents = new Parent[](1);
        terms.parents[0] = Parent(WORD, stranger, 2001);
        AgreedLane[] memory lanes = new AgreedLane[](1);
        lanes[0] = _lane(0, WORD, 900_000);
        _refused(terms, lanes, abi.encodeWithSelector(RoyaltiesTooHigh.selector, 2001));
        terms.lanes = 9;
        _refused(terms, lanes, abi.encodeWithSelector(TermOutOfRange.selector, bytes32("lanes"), 9, 1, 8));
    }

    /// @notice Ten committed seats are owed 310, all that the job holds without the appellant's 434 is 306.
    function test_agree_jobTooPoorForTheFeesOfItsRounds_reverts() public {
        JobTerms memory terms = _terms();
        (terms.fee, terms.collateral) = (31e18, 93e18);
        bytes32 id = _reach(terms, 5);
        _pin(id);
        _commitAll(id, VOTE);
        AgreedLane[] memory lanes = new AgreedLane[](1);
        lanes[0] = _lane(0, WORD, 900_000);
        _refused(terms, lanes, abi.encodeWithSelector(JobTooPoor.selector, id, 430e18, 434e18));
    }

    /// @notice P6.1: seven committed seats are owed 210, and all that the job has beside what goes back is 210: enough.
    function test_agree_jobWorthJustTheFeesOfItsRounds_paysThem() public {
        JobTerms memory terms = _terms();
        (terms.fee, terms.collateral) = (30e18, 90e18);
        uint256 before = market.free(requester);
        bytes32 id = _reach(terms, 6); // three seats, and two of the appeal's
        _commit(id, 0, VOTE);
        _commit(id, 6, VOTE);
        (AgreedLane[] memory lanes, bytes[] memory signatures) = _agreed(id, 0);
        lanes[0].score = Votes.NO_DATA; // the last code there is
        signatures = _signedBy(id, lanes);
        market.agree(terms, lanes, FOREVER, signatures);
        assertEq(market.free(requester), before - 7 * 30e18);
        assertEq(market.free(providers[0]), 10_000e18);
        assertEq(market.getJob(id).result, _vote(Votes.NO_DATA));
    }

    /* ------------------------------------------------------------------- helpers */

    /// @dev Posted, accepted, submitted, all committed, scored, appealed, and two of the appeal's seats committed.
    function _reach(JobTerms memory terms, uint8 stage) private returns (bytes32 id) {
        if (stage == 0) return _post(terms);
        id = _accept(terms);
        if (stage == 1) return id;
        _submit(id, 0, WORD);
        _roll(3);
        if (stage >= 3) _commitBatch(id);
        if (stage >= 4) market.revealAll(id, _openings(id));
        if (stage < 5) return id;
        vm.prank(requester);
        market.appeal(terms, 0);
        if (stage < 6) return id;
        _pin(id);
        _commit(id, 1, VOTE);
        _commit(id, 4, VOTE);
    }

    function _agreed(bytes32 id, uint256 payout) private view returns (AgreedLane[] memory, bytes[] memory) {
        AgreedLane[] memory lanes = new AgreedLane[](1);
        lanes[0] = AgreedLane(providers[0], WORD, 900_000, payout);
        return (lanes, _signedBy(id, lanes));
    }

    function _lane(uint256 i, bytes32 word, uint32 score) private view returns (AgreedLane memory) {
        return AgreedLane(providers[i], word, score, 1e18);
    }

    function _signedBy(bytes32 id, AgreedLane[] memory lanes) private view returns (bytes[] memory signatures) {
        bytes32 outcome = _outcomeOf(id, FOREVER, lanes);
        signatures = new bytes[](lanes.length + 1);
        signatures[0] = _signed(_requesterKey, outcome);
        for (uint256 lane; lane < lanes.length; ++lane) {
            for (uint256 i; i < providers.length; ++i) {
                if (providers[i] == lanes[lane].provider) signatures[lane + 1] = _signed(providerKeys[i], outcome);
            }
        }
    }

    function _refused(JobTerms memory terms, AgreedLane[] memory lanes, bytes memory reason) private {
        bytes[] memory signatures = _signedBy(market.hashTerms(terms), lanes);
        vm.expectRevert(reason);
        market.agree(terms, lanes, FOREVER, signatures);
    }
}
