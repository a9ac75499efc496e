// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Attack} from "./Attack.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";

/// @notice Threats 6, 7, 8 and 19: what was signed or sent by one is used again, elsewhere or by another.
contract MessagesTest is Attack {
    uint256 private constant ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @notice Threat 6, P1.3: whoever uses somebody's permit first has paid gas to approve what the owner wanted approved.
    function test_threat6_permitUsedByAnother_depositStillWorks() public {
        (address owner, uint256 key) = makeAddrAndKey("permit owner");
        token.transfer(owner, 100);
        bytes32 typeHash =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 structHash = keccak256(abi.encode(typeHash, owner, address(market), 100, 0, type(uint256).max));
        bytes32 digest = keccak256(abi.encodePacked("\x19\x01", token.DOMAIN_SEPARATOR(), structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        vm.prank(stranger);
        token.permit(owner, address(market), 100, type(uint256).max, v, r, s);
        vm.prank(owner);
        market.depositWithPermit(100, type(uint256).max, v, r, s);
        assertEq(market.free(owner), 100);
        _costOfGasAlone("using another's permit");
    }

    /// @notice Threat 7, P8: a bid is for one job of one market on one chain, once, and has one signature.
    function test_threat7_bidReplayedElsewhere_isRefused() public {
        JobTerms memory terms = _terms();
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
        bytes memory good = signatures[0];
        bytes memory reason = abi.encodeWithSelector(BadSignature.selector, providers[0]);

        signatures[0] = _twin(good);
        _refused(terms, bids, signatures, reason); // the same point, the other s
        signatures[0] = good;
        uint256 chain = block.chainid;
        vm.chainId(chain + 1);
        bytes32 idElsewhere = market.hashTerms(terms);
        vm.chainId(chain);
        assertTrue(idElsewhere != id, "the same terms on another chain are another job");
        IMarket other = _deployMarket(address(token), STAKE, 0.01e18, address(0), _limits());
        assertTrue(other.hashTerms(terms) != id, "and in another market");
        assertTrue(other.hashBid(bids[0]) != market.hashBid(bids[0]));

        JobTerms memory second = _terms();
        second.salt = keccak256("second");
        bytes32 secondId = _post(second);
        _refused(second, bids, signatures, abi.encodeWithSelector(BidForOtherJob.selector, secondId, id));
        bids[0].job = secondId; // then it is not what was signed
        _refused(second, bids, signatures, reason);
        bids[0].job = id;

        vm.prank(providers[0]);
        market.cancelBid(0);
        _refused(terms, bids, signatures, abi.encodeWithSelector(BidSpent.selector, providers[0], 0));
        assertEq(market.free(providers[0]), 10_000e18);
        _costOfGasAlone("replaying a bid");
    }

    /// @notice Threat 8, P3.1: what is over is over, whoever asks again.
    function test_threat8_settleRefundWithdrawTwice_payOnce() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        _settle(terms);
        uint256 before = market.free(requester);
        assertFalse(_tries(requester, abi.encodeCall(market.settle, (terms))));
        assertFalse(_tries(requester, abi.encodeCall(market.cancel, (_told(id)))));
        assertFalse(_tries(requester, abi.encodeCall(market.expire, (_told(id)))));
        assertFalse(_tries(requester, abi.encodeCall(market.close, (id))));
        assertFalse(_tries(requester, abi.encodeCall(market.post, (terms))));
        vm.startPrank(requester);
        market.withdraw(requester, before);
        vm.expectRevert(abi.encodeWithSelector(InsufficientFree.selector, requester, 0, before));
        market.withdraw(requester, before);
        assertEq(market.free(requester), 0);
        _costOfGasAlone("asking twice");
    }

    /// @notice Threat 19, P4.4: a submission copied from the mempool is bound to another; so is a bid.
    function test_threat19_copiedSubmission_costsTheCopierItsCollateral() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _accept(terms);
        assertFalse(_tries(stranger, abi.encodeCall(market.submit, (id, 0, WORD))), "not a provider");
        assertFalse(_tries(providers[1], abi.encodeCall(market.submit, (id, 0, WORD))), "not this lane's");
        uint256 before = market.free(providers[1]) + terms.collateral;
        vm.prank(providers[1]); // ahead of the first, in its own lane
        market.submit(id, 1, WORD);
        _submit(id, 0, WORD);
        _pin(id);
        // The word says another provider: seats demand the weights, and vote MISSING (P4.4).
        address hot = _hotAt(id, 0);
        vm.prank(hot);
        market.demand(_told(id), 1, 0);
        skip(terms.releaseWindow);
        market.close(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE, "the copied one is paid");
        _cost("copying a submission", before, market.free(providers[1]));
        assertEq(before - market.free(providers[1]), terms.collateral);
    }

    function _refused(JobTerms memory terms, Bid[] memory bids, bytes[] memory signatures, bytes memory reason)
        private
    {
        vm.prank(requester);
        vm.expectRevert(reason);
        market.accept(terms, bids, signatures);
    }

    /// @dev The other signature of the same message, which ECDSA without a check would take.
    function _twin(bytes memory signature) private pure returns (bytes memory) {
        (bytes32 r, uint256 s) = abi.decode(signature, (bytes32, uint256));
        return abi.encodePacked(r, ORDER - s, uint8(signature[64]) == 27 ? uint8(28) : uint8(27));
    }
}
