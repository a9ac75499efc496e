// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";
import {ContractWallet} from "./mocks/Accounts.sol";

/// @notice P2.2, P8: which bids bind, and what they lock.
contract AcceptTest is Base {
    uint256 private constant HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0;
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    function test_accept_bindsLanes_locksCollateral_freesTheDifference() public {
        JobTerms memory terms = _termsOf(3);
        uint256 before = market.free(requester);
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 2, PRICE);
        vm.expectEmit(address(market));
        emit Accepted(id, bids, 24);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        JobView memory job = market.getJob(id);
        assertEq(job.lanes, 2);
        assertEq(job.acceptBlock, vm.getBlockNumber());
        assertEq(job.seatCount, 24);
        assertEq(job.deadline, vm.getBlockTimestamp() + terms.workWindow);
        assertEq(market.free(requester), before - 2 * PRICE - 3 * FEE - terms.bond);
        assertEq(market.free(providers[1]), 10_000e18 - terms.collateral);
        assertEq(_held(id), 2 * PRICE + 3 * FEE + terms.bond + 2 * terms.collateral);
        (address provider, uint96 price, bytes32 word) = market.getLane(id, 1);
        assertEq(provider, providers[1]);
        assertEq(price, PRICE);
        assertEq(word, 0);
    }

    function test_open_isPostAndAcceptInOne() public {
        JobTerms memory terms = _terms();
        bytes32 id = market.hashTerms(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        vm.prank(requester);
        assertEq(market.open(terms, bids, signatures), id);
        assertEq(uint8(_state(id)), uint8(State.Running));
    }

    function test_accept_contractWalletMaySign() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        ContractWallet wallet = new ContractWallet();
        _fund(address(wallet), 100e18);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        bids[0].provider = address(wallet);
        signatures[0] = "";
        _refused(terms, bids, signatures, abi.encodeWithSelector(BadSignature.selector, address(wallet)));
        wallet.approve(market.hashBid(bids[0]));
        vm.prank(requester);
        market.accept(terms, bids, signatures);
    }

    function test_accept_forgedSignatures_areRefused() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        bytes memory reason = abi.encodeWithSelector(BadSignature.selector, providers[0]);

        bytes memory good = signatures[0];
        signatures[0] = _sign(bids[0], providerKeys[1]);
        _refused(terms, bids, signatures, reason);
        signatures[0] = _highS(good);
        _refused(terms, bids, signatures, reason);
        signatures[0] = good;
        bids[0].price += 1; // not what was signed
        _refused(terms, bids, signatures, reason);
        bids[0].price -= 1;
        vm.chainId(block.chainid + 1); // the domain says where
        JobTerms memory elsewhere = terms;
        bytes32 otherId = market.hashTerms(elsewhere);
        assertTrue(otherId != id);
    }

    function test_accept_bidsThatDoNotFit_areRefused() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 2, PRICE);

        Bid memory kept = bids[1];
        bids[1] = _bid(keccak256("other job"), 1, PRICE);
        _refused(terms, bids, signatures, abi.encodeWithSelector(BidForOtherJob.selector, id, bids[1].job));
        bids[1] = _bid(id, 1, terms.priceCap + 1);
        bytes memory reason = abi.encodeWithSelector(BidAboveCap.selector, terms.priceCap + 1, terms.priceCap);
        _refused(terms, bids, signatures, reason);
        (bids[1], signatures[1]) = (bids[0], signatures[0]);
        _refused(terms, bids, signatures, abi.encodeWithSelector(DuplicateProvider.selector, providers[0]));

        bids[1] = kept;
        bids[1].validUntil = uint64(vm.getBlockTimestamp() - 1);
        reason = abi.encodeWithSelector(BidExpired.selector, vm.getBlockTimestamp(), bids[1].validUntil);
        _refused(terms, bids, signatures, reason);
    }

    function test_accept_lastSecondOfABid_counts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        bids[0].validUntil = uint64(vm.getBlockTimestamp());
        signatures[0] = _sign(bids[0], providerKeys[0]);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
    }

    function test_accept_wrongCounts_areRefused() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 2, PRICE);
        _refused(terms, bids, signatures, abi.encodeWithSelector(WrongBidCount.selector, 2, 1));
        _refused(terms, new Bid[](0), new bytes[](0), abi.encodeWithSelector(WrongBidCount.selector, 0, 1));
        (bids,) = _offers(id, 1, PRICE);
        _refused(terms, bids, new bytes[](0), abi.encodeWithSelector(WrongBidCount.selector, 1, 1));
    }

    function test_cancelBid_spendsItsNonceOnly() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 2, PRICE);
        vm.expectEmit(address(market));
        emit BidCancelled(providers[1], 1);
        vm.prank(providers[1]);
        market.cancelBid(1);
        assertTrue(market.bidSpent(providers[1], 1));
        assertFalse(market.bidSpent(providers[1], 257));
        assertFalse(market.bidSpent(providers[0], 1));
        _refused(terms, bids, signatures, abi.encodeWithSelector(BidSpent.selector, providers[1], 1));
        vm.prank(providers[1]);
        market.cancelBid(256);
        assertTrue(market.bidSpent(providers[1], 256));
        assertFalse(market.bidSpent(providers[1], 0));
        bids[1].nonce = 257;
        signatures[1] = _sign(bids[1], providerKeys[1]);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
    }

    function test_accept_valueAboveWhatTheSeatsCover_isRefused() public {
        JobTerms memory terms = _terms();
        (terms.priceCap, terms.collateral, terms.bond) = (2000e18, 400e18, 400e18);
        bytes32 id = _post(terms);
        // S (n+1) / 4 = S for n = 3.
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, STAKE + 1);
        _refused(terms, bids, signatures, abi.encodeWithSelector(StakeTooSmall.selector, STAKE + 1, STAKE));
        (bids, signatures) = _offers(id, 1, STAKE);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
    }

    function test_accept_bondBelowAFifth_isRefused() public {
        JobTerms memory terms = _terms();
        terms.bond = 18e18 - 1;
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        _refused(terms, bids, signatures, abi.encodeWithSelector(BondTooSmall.selector, 18e18 - 1, 18e18));
    }

    function test_accept_tooFewLiveSeats_isRefused() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        vm.prank(_owner(0));
        market.exit(0);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        _refused(terms, bids, signatures, abi.encodeWithSelector(TooFewSeats.selector, 23, 24));
    }

    function test_accept_poorProvider_isRefused() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        vm.prank(providers[0]);
        market.withdraw(providers[0], 10_000e18);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        bytes memory reason = abi.encodeWithSelector(InsufficientFree.selector, providers[0], 0, terms.collateral);
        _refused(terms, bids, signatures, reason);
    }

    function test_accept_byOthers_late_orTwice_isRefused() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(NotRequester.selector, stranger, requester));
        market.accept(terms, bids, signatures);
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        _refused(terms, bids, signatures, abi.encodeWithSelector(TooLate.selector, deadline, deadline));
        vm.warp(deadline - 1);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        _refused(terms, bids, signatures, abi.encodeWithSelector(WrongState.selector, id, State.Running));
    }

    function test_cancel_byRequesterOnly_givesAllBack() public {
        JobTerms memory terms = _terms();
        uint256 before = market.free(requester);
        bytes32 id = _post(terms);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(NotRequester.selector, stranger, requester));
        market.cancel(_told(id));
        vm.prank(requester);
        market.cancel(_told(id));
        assertEq(market.free(requester), before);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Cancelled));
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(JobExists.selector, id));
        market.post(terms);
    }

    function test_cancel_afterAccept_reverts() public {
        bytes32 id = _accept(_terms());
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Running));
        market.cancel(_told(id));
    }

    function test_expire_byAnyone_fromTheDeadlineOn() public {
        JobTerms memory terms = _terms();
        uint256 before = market.free(requester);
        bytes32 id = _post(terms);
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline - 1);
        vm.expectRevert(abi.encodeWithSelector(TooEarly.selector, deadline - 1, deadline));
        market.expire(_told(id));
        vm.warp(deadline);
        vm.prank(stranger);
        market.expire(_told(id));
        assertEq(market.free(requester), before);
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Expired));
        assertEq(_held(id), 0);
    }

    function _refused(JobTerms memory terms, Bid[] memory bids, bytes[] memory signatures, bytes memory reason)
        private
    {
        vm.prank(requester);
        vm.expectRevert(reason);
        market.accept(terms, bids, signatures);
    }

    /// @dev The other signature of the same message, which ECDSA without a check would take.
    function _highS(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, uint256 s) = abi.decode(signature, (bytes32, uint256));
        assertLe(s, HALF_ORDER);
        uint8 v = uint8(signature[64]) == 27 ? 28 : 27;
        return abi.encodePacked(r, ORDER - s, v);
    }
}
