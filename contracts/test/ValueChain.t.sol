// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {IValueChain} from "../src/interfaces/IValueChain.sol";
import {Votes} from "../src/libraries/Votes.sol";

/// @notice P7: what may be entered, by whose words, and what its owner may do with it.
/// forge-config: default.fuzz.runs = 128
/// forge-config: ci.fuzz.runs = 1000
contract ValueChainTest is Base {
    IValueChain private chain;
    address private buyer = makeAddr("buyer");

    function setUp() public override {
        super.setUp();
        chain = IValueChain(deployCode("ValueChain.sol:ValueChain", abi.encode(address(market))));
    }

    function test_constructor_namesTheMarketItReads() public view {
        assertEq(chain.market(), address(market));
    }

    /* ------------------------------------------------------------------- claim */

    function testFuzz_claim_paidLane_entersItForTheRequester(address caller, uint32 score) public {
        score = uint32(bound(score, 800_000, Votes.MAX_SCORE));
        JobTerms memory terms = _terms();
        bytes32 id = _settled(terms, score);
        bytes32 artifact = keccak256(abi.encode(id, uint8(0)));
        vm.expectEmit(address(chain));
        emit IValueChain.Claimed(
            artifact, id, requester, 0, providers[0], _preimage().weightsHash, score, Outcome.Measured
        );
        vm.prank(caller);
        assertEq(chain.claim(_told(id), 0, _preimage()), artifact);
        IValueChain.Entry memory entry = chain.entryOf(artifact);
        assertEq(entry.owner, requester, "whoever claims, R owns it at first (P7.2)");
        assertEq(entry.weightsHash, _preimage().weightsHash);
        assertEq(entry.suggestedBps, 0);
    }

    function test_claim_changesNothingInTheMarket() public {
        bytes32 id = _settled(_terms(), 900_000);
        bytes memory before = abi.encode(market.getJob(id), market.free(requester), _locked());
        vm.record();
        chain.claim(_told(id), 0, _preimage());
        (, bytes32[] memory writes) = vm.accesses(address(market));
        assertEq(writes.length, 0);
        assertEq(abi.encode(market.getJob(id), market.free(requester), _locked()), before);
    }

    function test_claim_twice_reverts() public {
        bytes32 id = _settled(_terms(), 900_000);
        bytes32 artifact = chain.claim(_told(id), 0, _preimage());
        vm.expectRevert(abi.encodeWithSelector(IValueChain.AlreadyClaimed.selector, artifact, requester));
        chain.claim(_told(id), 0, _preimage());
    }

    function test_claim_beforeSettlement_reverts() public {
        JobTerms memory terms = _terms();
        _rejectUnsettled(_remember(terms), State.None);
        bytes32 id = _accept(terms);
        _rejectUnsettled(id, State.Running);
        _submit(id, 0, _word(id, 0));
        _pin(id);
        _commitAll(id, _vote(900_000));
        _revealAll(id, _vote(900_000));
        _rejectUnsettled(id, State.Scored);
        _settle(terms);
        chain.claim(_told(id), 0, _preimage());
    }

    function testFuzz_claim_ofNoJob_reverts(bytes32 salt) public {
        JobTerms memory terms = _terms();
        vm.assume(salt != terms.salt);
        _settled(terms, 900_000);
        terms.salt = salt;
        _rejectUnsettled(_remember(terms), State.None);
    }

    function testFuzz_claim_laneThatWasNotPaid_reverts(uint32 score) public {
        score = uint32(bound(score, 0, 799_999));
        _rejectUnpaid(_settled(_terms(), score), 0);
    }

    function test_claim_badLane_reverts() public {
        _rejectUnpaid(_settled(_terms(), Votes.BAD), 0);
    }

    function testFuzz_claim_laneThatIsNone_reverts(uint8 lane) public {
        bytes32 id = _settled(_terms(), 900_000);
        if (lane >= 1 && lane < 8) _rejectUnpaid(id, lane);
        vm.assume(lane != 0);
        vm.expectRevert();
        chain.claim(_told(id), lane, _preimage());
    }

    /// @notice A result of zero is the best score of a lower-is-better metric, and no score at all of a job that was called off.
    function test_claim_calledOffJobOfLowerIsBetter_reverts() public {
        JobTerms memory terms = _terms();
        (terms.floor, terms.target) = (500_000, 100_000);
        bytes32 id = _post(terms);
        vm.prank(requester);
        market.cancel(_told(id));
        _rejectUnpaid(id, 0);
    }

    function test_claim_voidJobOfLowerIsBetter_reverts() public {
        JobTerms memory terms = _terms();
        (terms.floor, terms.target) = (500_000, 100_000);
        bytes32 id = _accept(terms);
        _submit(id, 0, _word(id, 0));
        for (uint256 round; round < 3; ++round) {
            _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        market.settle(terms);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Void));
        _rejectUnpaid(id, 0);
    }

    function test_claim_freeLane_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, 0);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        _finish(terms, id, _vote(900_000));
        _rejectUnpaid(id, 0);
    }

    /// @notice P4.5: keys withheld in the commit stage pay the lane, and what it made was never measured.
    function test_claim_laneWithoutHeldOutKeys_entersItAsUnmeasured() public {
        JobTerms memory terms = _terms();
        bytes32 id = _accept(terms);
        _submit(id, 0, _word(id, 0));
        _pin(id);
        vm.prank(_hotAt(id, 0));
        market.demand(_told(id), REQUESTER, 0);
        skip(terms.releaseWindow);
        market.close(id);
        market.settle(terms);
        bytes32 artifact = keccak256(abi.encode(id, uint8(0)));
        vm.expectEmit(address(chain));
        emit IValueChain.Claimed(
            artifact,
            id,
            requester,
            0,
            providers[0],
            _preimage().weightsHash,
            Votes.NO_DATA,
            Outcome.HeldOutKeysWithheld
        );
        chain.claim(_told(id), 0, _preimage());
    }

    function testFuzz_claim_wrongPreimage_reverts(IValueChain.Preimage memory other) public {
        bytes32 id = _settled(_terms(), 900_000);
        bytes32 given = keccak256(abi.encode(id, providers[0], other));
        vm.assume(given != _word(id, 0));
        vm.expectRevert(abi.encodeWithSelector(IValueChain.WrongPreimage.selector, _word(id, 0), given));
        chain.claim(_told(id), 0, other);
    }

    /// @notice Lanes are entered one by one, each with its maker's own word.
    function test_claim_eachLane_isAnEntryOfItsOwn() public {
        JobTerms memory terms = _termsOf(3);
        bytes32 vote = Votes.withLane(Votes.withLane(_vote(900_000), 1, 700_000), 2, 950_000);
        bytes32 id = _accept(terms);
        for (uint8 lane; lane < 3; ++lane) {
            _submit(id, lane, _word(id, lane));
        }
        _finish(terms, id, vote);
        bytes32 first = chain.claim(_told(id), 0, _preimage());
        _rejectUnpaid(id, 1);
        bytes32 last = chain.claim(_told(id), 2, _preimage());
        assertTrue(first != last);
        assertEq(chain.entryOf(last).owner, requester);
        assertEq(chain.entryOf(keccak256(abi.encode(id, uint8(1)))).owner, address(0));
    }

    /* --------------------------------------------------------------- ownership */

    function testFuzz_offerAndTake_passTheArtifactOn(address to) public {
        vm.assume(to != address(0));
        bytes32 artifact = _claimed();
        vm.expectEmit(address(chain));
        emit IValueChain.Offered(artifact, requester, to);
        vm.prank(requester);
        chain.offer(artifact, to);
        assertEq(chain.entryOf(artifact).owner, requester, "an offer passes nothing on");
        assertEq(chain.offeredTo(artifact), to);
        vm.expectEmit(address(chain));
        emit IValueChain.Transferred(artifact, requester, to);
        vm.prank(to);
        chain.take(artifact);
        assertEq(chain.entryOf(artifact).owner, to);
        assertEq(chain.offeredTo(artifact), address(0), "an offer is good for once");
    }

    function testFuzz_offer_byAnotherThanTheOwner_reverts(address caller, bytes32 artifact) public {
        bytes32 mine = _claimed();
        vm.assume(caller != requester && caller != address(0) && artifact != mine);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOwner.selector, caller, requester));
        chain.offer(mine, caller);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOwner.selector, caller, address(0)));
        chain.offer(artifact, caller);
    }

    function testFuzz_take_withoutAnOffer_reverts(address caller) public {
        bytes32 artifact = _claimed();
        vm.assume(caller != buyer && caller != address(0));
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOffered.selector, caller, address(0)));
        chain.take(artifact);
        vm.prank(requester);
        chain.offer(artifact, buyer);
        vm.prank(caller);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOffered.selector, caller, buyer));
        chain.take(artifact);
    }

    function test_offer_toNobody_withdrawsTheOffer() public {
        bytes32 artifact = _claimed();
        vm.startPrank(requester);
        chain.offer(artifact, buyer);
        chain.offer(artifact, address(0));
        vm.stopPrank();
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOffered.selector, buyer, address(0)));
        chain.take(artifact);
    }

    /// @notice An offer of a former owner is spent, and cannot call the artifact back.
    function test_take_formerOwner_cannotCallItBack() public {
        bytes32 artifact = _claimed();
        vm.prank(requester);
        chain.offer(artifact, buyer);
        vm.prank(buyer);
        chain.take(artifact);
        vm.startPrank(requester);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOffered.selector, requester, address(0)));
        chain.take(artifact);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOwner.selector, requester, buyer));
        chain.offer(artifact, requester);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotOwner.selector, requester, buyer));
        chain.suggestRoyalty(artifact, 1);
        vm.stopPrank();
    }

    /* --------------------------------------------------------------- royalties */

    function test_suggestRoyalty_asMuchAsTermsMayPromise_andNotOneMore() public {
        bytes32 artifact = _claimed();
        vm.startPrank(requester);
        chain.suggestRoyalty(artifact, 2000);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.SuggestionTooHigh.selector, 2001, 2000));
        chain.suggestRoyalty(artifact, 2001);
        vm.stopPrank();
    }

    function testFuzz_suggestRoyalty_bindsNobody(uint16 bps) public {
        bps = uint16(bound(bps, 0, 2000));
        bytes32 artifact = _claimed();
        vm.expectEmit(address(chain));
        emit IValueChain.RoyaltySuggested(artifact, requester, bps);
        vm.prank(requester);
        chain.suggestRoyalty(artifact, bps);
        assertEq(chain.entryOf(artifact).suggestedBps, bps);
    }

    function testFuzz_suggestRoyalty_aboveWhatTermsMayPromise_reverts(uint16 bps) public {
        bps = uint16(bound(bps, 2001, type(uint16).max));
        bytes32 artifact = _claimed();
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(IValueChain.SuggestionTooHigh.selector, bps, 2000));
        chain.suggestRoyalty(artifact, bps);
    }

    /// @notice P7.3: the child's terms pay, whatever the parent's owner suggests; the sum is the payout to the unit.
    function testFuzz_settle_paysTheRoyaltiesOfTheTermsOnly(uint16 suggested, uint16 first, uint16 second, uint32 score)
        public
    {
        (first, second) = (uint16(bound(first, 0, 1500)), uint16(bound(second, 0, 500)));
        score = uint32(bound(score, 800_000, 2_000_000));
        bytes32 parent = _claimed();
        vm.prank(requester);
        chain.suggestRoyalty(parent, uint16(bound(suggested, 0, 2000)));

        JobTerms memory terms = _terms();
        terms.salt = keccak256("child");
        terms.parents = new Parent[](2);
        terms.parents[0] = Parent(parent, makeAddr("payee"), first);
        terms.parents[1] = Parent(keccak256("of another market"), makeAddr("stranger's payee"), second);
        uint256 before = market.free(providers[0]);
        bytes32 id = _settled(terms, score);
        uint256 gain = score < 950_000 ? score - 800_000 : 150_000;
        uint256 payout = uint256(PRICE) * (150_000 + gain) / 300_000;
        assertEq(market.free(makeAddr("payee")), payout * first / 10_000);
        assertEq(market.free(makeAddr("stranger's payee")), payout * second / 10_000);
        uint256 royalties = payout * first / 10_000 + payout * second / 10_000;
        assertEq(market.free(providers[0]), before + payout - royalties);
        assertEq(chain.entryOf(chain.claim(_told(id), 0, _preimage())).owner, requester);
    }

    /* ------------------------------------------------------------------ builders */

    function _preimage() private pure returns (IValueChain.Preimage memory) {
        return IValueChain.Preimage(keccak256("weights"), keccak256("sealed"), keccak256("b"), keccak256("envelope"));
    }

    /// @dev As a provider submits it (P4.4).
    function _word(bytes32 id, uint256 lane) private view returns (bytes32) {
        IValueChain.Preimage memory p = _preimage();
        return keccak256(abi.encode(id, providers[lane], p.weightsHash, p.sealedHash, p.halfBHash, p.envelopeHash));
    }

    function _settled(JobTerms memory terms, uint32 score) private returns (bytes32 id) {
        id = _accept(terms);
        _submit(id, 0, _word(id, 0));
        _finish(terms, id, _vote(score));
    }

    /// @dev The committee votes and everybody is paid; what is not submitted yet is.
    function _finish(JobTerms memory terms, bytes32 id, bytes32 vote) private {
        if (_state(id) == State.Running) _submit(id, 0, _word(id, 0));
        _pin(id);
        _commitAll(id, vote);
        _revealAll(id, vote);
        _settle(terms);
    }

    function _claimed() private returns (bytes32) {
        bytes32 id = _settled(_terms(), 900_000);
        return chain.claim(_told(id), 0, _preimage());
    }

    function _rejectUnsettled(bytes32 id, State state) private {
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotSettled.selector, id, state));
        chain.claim(_told(id), 0, _preimage());
    }

    function _rejectUnpaid(bytes32 id, uint8 lane) private {
        vm.expectRevert(abi.encodeWithSelector(IValueChain.NotPaid.selector, id, lane));
        chain.claim(_told(id), lane, _preimage());
    }
}
