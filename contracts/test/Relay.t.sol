// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Signing} from "./Signing.sol";
import {Messages} from "../src/libraries/Messages.sol";
import {ContractWallet} from "./mocks/Accounts.sol";

/// @notice P6.1: the relayed road, and the waiver.
contract RelayTest is Signing {
    /* ------------------------------------------------------------------- batches */

    function test_relayed_wholeJob_twoBatchesAndAWaiver() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        _commitBatch(id);
        assertEq(uint8(_state(id)), uint8(State.Revealing));
        bytes[] memory waivers = _waivers(id, VOTE);
        uint256 before = market.free(requester);
        vm.prank(stranger);
        market.conclude(terms, _openings(id), waivers);
        assertEq(uint8(_state(id)), uint8(State.Settled));
        assertEq(market.getJob(id).result, VOTE);
        assertEq(market.free(providers[0]), 10_000e18 + 75e18);
        assertEq(market.free(requester), before + 30e18 + 15e18);
        assertEq(_held(id), 0);
    }

    function test_revealAll_thenTheChallengeRunsAsEver() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        _commitBatch(id);
        market.revealAll(id, _openings(id));
        assertEq(uint8(_state(id)), uint8(State.Scored));
        vm.expectRevert();
        market.settle(terms);
        _settle(terms);
    }

    /// @notice A batch that stalls stops no vote: commits made alone are opened together, and the other way round.
    function test_roads_mix_betweenTheStages() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        market.pin(id);
        for (uint256 place; place < 3; ++place) {
            _commit(id, 2 - place, VOTE); // in an order of their own
        }
        Opening[] memory openings = _openings(id);
        vm.expectPartialRevert(WrongReveal.selector);
        market.revealAll(id, openings);
        (openings[0], openings[2]) = (openings[2], openings[0]);
        market.revealAll(id, openings);
        assertEq(market.getRound(id, 1).revealed, 7);

        terms.salt = keccak256("the other way");
        bytes32 other = _submitted(terms);
        _commitBatch(other);
        for (uint8 place; place < 3; ++place) {
            _noteCommit(other, 1, place, _commitment(other, 1, _seat(other, place), VOTE));
        }
        _revealAll(other, VOTE);
        assertEq(uint8(_state(other)), uint8(State.Scored));
    }

    function test_commitAll_allOrNone() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        bytes[] memory fewer = new bytes[](2);
        vm.expectRevert(abi.encodeWithSelector(NotAll.selector, 3, 3));
        market.commitAll(id, hashes, fewer);
        (bytes memory first, bytes memory last) = (signatures[0], signatures[2]);
        (signatures[0], signatures[2]) = (last, first);
        vm.expectPartialRevert(BadSignature.selector);
        market.commitAll(id, hashes, signatures);
        (signatures[0], signatures[2]) = (first, last);
        (, uint32[] memory seats) = market.committee(id);
        for (uint8 place; place < 3; ++place) {
            vm.expectEmit(address(market));
            emit Committed(id, seats[place], 1, place, hashes[place]);
        }
        market.commitAll(id, hashes, signatures);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Revealing));
        market.commitAll(id, hashes, signatures);
    }

    /// @notice P8: a seat's hot key, the requester and a provider may be contracts (ERC-1271), on the relayed road too.
    function test_relayed_contractWallets_maySign() public {
        ContractWallet wallet = new ContractWallet();
        (requester, providers[0]) = (address(wallet), address(wallet));
        _fund(address(wallet), 1000e18);
        JobTerms memory terms = _terms();
        bytes32 id = _remember(terms);
        Bid[] memory bids = new Bid[](1);
        bids[0] = _bid(id, 0, PRICE);
        wallet.approve(market.hashBid(bids[0]));
        vm.prank(requester);
        market.open(terms, bids, new bytes[](1));
        _submit(id, 0, WORD);
        _roll(3);

        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        (, uint32[] memory seats) = market.committee(id);
        vm.prank(market.getSeat(seats[1]).cold);
        market.rotate(seats[1], address(wallet), 0);
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, address(wallet)));
        market.commitAll(id, hashes, signatures);
        wallet.approve(_digest(Messages.scoreCommit(id, 1, seats[1], hashes[1])));
        market.commitAll(id, hashes, signatures);

        Opening[] memory openings = _openings(id);
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, address(wallet)));
        market.conclude(terms, openings, new bytes[](2));
        wallet.approve(_digest(Messages.waiver(id, 1, VOTE)));
        market.conclude(terms, openings, new bytes[](2));
        assertEq(uint8(_state(id)), uint8(State.Settled));
    }

    function test_commitAll_afterOneCommittedAlone_reverts() public {
        bytes32 id = _submitted(_terms());
        market.pin(id);
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        _commit(id, 1, VOTE);
        vm.expectRevert(abi.encodeWithSelector(AlreadyCommitted.selector, id, 1, 0));
        market.commitAll(id, hashes, signatures);
    }

    function test_commitAll_withAnEmptyCommit_reverts() public {
        bytes32 id = _submitted(_terms());
        (bytes32[] memory hashes, bytes[] memory signatures) = _commits(id);
        hashes[1] = 0;
        vm.expectRevert(ZeroWord.selector);
        market.commitAll(id, hashes, signatures);
    }

    /// @notice P5.2: of a committee that is all vacant there is nobody to wait for.
    function test_commitAll_ofACommitteeThatIsAllVacant_takesNone() public {
        bytes32 id = _accept(_terms());
        _leave(0, 24);
        _roll(1);
        _submit(id, 0, WORD);
        _roll(3);
        vm.expectRevert(abi.encodeWithSelector(NotAll.selector, 1, 0));
        market.commitAll(id, new bytes32[](1), new bytes[](1));
        market.commitAll(id, new bytes32[](0), new bytes[](0));
        assertEq(market.getRound(id, 1).committed, 0);
        market.revealAll(id, new Opening[](0));
        assertEq(market.getJob(id).round, 2);
    }

    function test_revealAll_afterOneRevealedAlone_reverts() public {
        bytes32 id = _submitted(_terms());
        market.pin(id);
        _commitAll(id, VOTE);
        _reveal(id, 1, VOTE);
        Opening[] memory openings = _openings(id);
        vm.expectRevert(abi.encodeWithSelector(AlreadyRevealed.selector, id, 1, 0));
        market.revealAll(id, openings);
    }

    /// @notice P4.5: what was asked for is answered first, or its deadline told; nobody waives another's demand.
    function test_conclude_whileADemandIsPending_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, VOTE);
        vm.prank(requester);
        market.demand(terms, 0, 0);
        bytes[] memory waivers = _waivers(id, VOTE);
        vm.expectRevert(abi.encodeWithSelector(DemandPending.selector, id, 1));
        market.conclude(terms, new Opening[](0), waivers);
    }

    /// @notice P6.1: a waiver ends a challenge. Before one, and after it, there is none to end, whoever signed.
    function test_conclude_beforeTheJobIsScored_orOnceItIsSettled_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        bytes[] memory waivers = _waivers(id, 0);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Committing));
        market.conclude(terms, new Opening[](0), waivers);
        _commitBatch(id);
        waivers = _waivers(id, VOTE);
        market.conclude(terms, _openings(id), waivers);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Settled));
        market.conclude(terms, new Opening[](0), waivers);
    }

    /// @notice P3.6: round 2 may fine seats of round 1. Requester and provider cannot sign away a seat's way to round 3.
    function test_conclude_ofRound2_reverts_andASeatMayAppeal() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, VOTE);
        vm.prank(requester);
        market.appeal(terms, 0);
        _pin(id);
        bytes32 lie = _vote(100_000);
        uint256 last = market.getRound(id, 2).size - 1;
        for (uint256 place; place <= last; ++place) {
            _commit(id, place, place * 2 > last ? VOTE : lie);
        }
        for (uint256 place; place <= last; ++place) {
            _reveal(id, place, place * 2 > last ? VOTE : lie);
        }
        bytes[] memory waivers = _waivers(id, lie);
        vm.expectRevert(abi.encodeWithSelector(SeatsMayAppeal.selector, id));
        market.conclude(terms, new Opening[](0), waivers);
        address dissenter = _hotAt(id, last);
        _fund(dissenter, 100e18);
        vm.prank(dissenter);
        market.appeal(terms, last);
        assertEq(market.getJob(id).round, 3);
    }

    /// @notice No message is good twice: a waiver names job, round and result, a commit job, round and seat.
    function test_messages_ofOneJob_areWorthNothingInAnother() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        (, bytes[] memory signatures) = _commits(id);
        _commitBatch(id);
        bytes[] memory waivers = _waivers(id, VOTE);
        market.conclude(terms, _openings(id), waivers);

        terms.salt = keccak256("another");
        bytes32 other = _submitted(terms);
        (bytes32[] memory hashes,) = _commits(other);
        vm.expectPartialRevert(BadSignature.selector);
        market.commitAll(other, hashes, signatures);
        _commitBatch(other);
        Opening[] memory openings = _openings(other);
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, requester));
        market.conclude(terms, openings, waivers);
    }

    function test_conclude_withoutOneSignature_orWithAnotherResult_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _submitted(terms);
        _commitBatch(id);
        Opening[] memory openings = _openings(id);
        bytes[] memory one = new bytes[](1);
        vm.expectRevert(abi.encodeWithSelector(NotAll.selector, 1, 2));
        market.conclude(terms, openings, one);
        bytes[] memory other = _waivers(id, _vote(900_001));
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, requester));
        market.conclude(terms, openings, other);
        bytes[] memory alone = _waivers(id, VOTE);
        alone[1] = alone[0]; // the requester's own, in the provider's place
        vm.expectRevert(abi.encodeWithSelector(BadSignature.selector, providers[0]));
        market.conclude(terms, openings, alone);
    }

    /* ------------------------------------------------------------------- helpers */

    function _submitted(JobTerms memory terms) private returns (bytes32 id) {
        id = _accept(terms);
        _submit(id, 0, WORD);
        _roll(3);
    }
}
