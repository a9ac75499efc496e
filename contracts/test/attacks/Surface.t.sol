// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "../Base.t.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IMarketFront} from "../../src/interfaces/IMarketFront.sol";
import {Votes} from "../../src/libraries/Votes.sol";

/// @notice What is reachable that nobody should want to reach: the second module, dirty calldata, stake that is spent twice,
/// one person on all sides, and the dearest settlement there can be.
contract SurfaceTest is Base {
    uint256 private constant TRANSACTION_GAS_CAP = 1 << 24; // EIP-7825

    /// @notice Threat 21, P1.2: the module called directly is an empty market without money, and changes nothing.
    function test_resolutionCalledDirectly_findsNoJob() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(900_000));
        IMarket module = IMarket(_deployResolution(address(token), STAKE, 0.01e18, address(0), _limits()));
        assertGt(address(module).code.length, 0);
        skip(terms.challengeWindow);
        bytes32 other = module.hashTerms(terms); // the domain is the module's own, and so is the id
        assertTrue(other != id);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.None));
        module.close(id);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, other, State.None));
        module.appeal(terms, 0);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, other, State.None));
        module.demand(terms, REQUESTER, 0);
        vm.expectRevert(abi.encodeWithSelector(NothingDemanded.selector, other, REQUESTER));
        module.answer(terms, REQUESTER, "");
        vm.prank(requester);
        vm.expectRevert();
        module.post(terms); // it has no such function
        vm.startPrank(requester);
        token.approve(address(module), 1);
        vm.expectRevert(NotAMarket.selector);
        module.deposit(1);
        vm.stopPrank();
        assertEq(module.free(requester), 0);
        market.settle(terms);
        assertEq(uint8(_state(id)), uint8(State.Settled));
    }

    /// @notice P2.1: one job has one encoding; a word with dirty upper bits is refused, not hashed to a twin.
    function test_termsWithDirtyUpperBits_areRefused_wordByWord() public {
        bytes memory call_ = abi.encodeCall(IMarketFront.post, (_terms()));
        uint256 dirtied;
        for (uint256 word; word < 27; ++word) {
            bool isFullWord = word == 1 || word == 8 || word == 12 || word == 13 || word == 26;
            if (isFullWord) continue;
            bytes memory dirty = bytes.concat(call_);
            dirty[4 + 32 + 32 * word] = 0x01; // selector, offset of the terms, the word's highest byte
            vm.prank(requester);
            (bool isTaken,) = address(market).call(dirty);
            assertFalse(isTaken);
            ++dirtied;
        }
        assertEq(dirtied, 22);
        vm.prank(requester);
        (bool isCleanTaken,) = address(market).call(call_);
        assertTrue(isCleanTaken);
    }

    /// @notice P5.5, threat 23: one stake backs many jobs; when it is used up, the fines of the rest take what there is.
    function test_seatsSilentInManyJobs_areFinedToNothing_andEveryJobSettles() public {
        bytes32[12] memory ids;
        JobTerms[12] memory terms;
        for (uint256 i; i < 12; ++i) {
            terms[i] = _terms();
            (terms[i].salt, terms[i].fee, terms[i].collateral) = (bytes32(i), STAKE / 32, 3 * (STAKE / 32));
            ids[i] = _accept(terms[i]);
            _submit(ids[i], 0, WORD);
        }
        for (uint256 round; round < 3; ++round) {
            _roll(3);
            for (uint256 i; i < 12; ++i) {
                market.pin(ids[i]);
            }
            skip(terms[0].commitWindow);
            for (uint256 i; i < 12; ++i) {
                market.close(ids[i]);
            }
        }
        for (uint256 i; i < 12; ++i) {
            market.settle(terms[i]);
        }
        uint256 left;
        uint256 empty;
        for (uint32 seat; seat < 24; ++seat) {
            uint256 stake = market.getSeat(seat).stake;
            left += stake;
            if (stake == 0) ++empty;
            if (stake < STAKE / 2) assertGt(market.getSeat(seat).exitingAt, 0, "below S/2 a seat leaves (P5.5)");
        }
        assertGt(empty, 0, "more was owed than there was");
        assertEq(_locked(), left);
        assertEq(market.burned(), 24 * uint256(STAKE) - left);
    }

    /// @notice P10, threat 15: requester and provider in one; its lost appeal pays the round and else itself, to the unit.
    function test_requesterWhoIsItsOwnProvider_gainsNothingByAppealing() public {
        JobTerms memory terms = _terms();
        terms.requester = providers[0];
        uint256 before = market.free(providers[0]);
        bytes32 id = _scored(terms, _vote(950_000));
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertEq(market.free(providers[0]), before - 3 * FEE - 7 * FEE);
        assertEq(_locked(), 24 * uint256(STAKE));
    }

    /// @notice P7.3: a parent may name anybody, the market itself included; its royalty is then nobody's, and no one else's loss.
    function test_royaltyToTheMarketItself_holdsNobodyUp() public {
        JobTerms memory terms = _terms();
        terms.parents = new Parent[](1);
        terms.parents[0] = Parent(WORD, address(market), 2000);
        _scored(terms, _vote(950_000));
        _settle(terms);
        assertEq(market.free(address(market)), PRICE / 5);
        assertEq(market.free(providers[0]), 10_000e18 + PRICE - PRICE / 5);
    }

    /// @notice Threat 17, P3.4: eight lanes, three rounds of 7, 15 and 31 seats of as many owners, two appeals won or lost,
    /// every seat of two rounds slashed: still one transaction.
    /// forge-config: default.isolate = true
    function test_dearestSettlement_fitsInATransaction() public {
        JobTerms memory terms = _termsOf(8);
        terms.committee = 7;
        terms.parents = new Parent[](4);
        for (uint160 i; i < 4; ++i) {
            terms.parents[i] = Parent(WORD, address(0xBEEF00 + i), 500);
        }
        _seatsOfManyOwners(120);
        bytes32 id = _drawn(terms);
        _voteAll(id, 1);
        vm.prank(requester);
        market.appeal(_told(id), 0);
        _roll(3);
        market.pin(id);
        _voteAll(id, 2);
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        _roll(3);
        market.pin(id);
        assertLt(vm.lastCallGas().gasTotalUsed, TRANSACTION_GAS_CAP / 4);
        _voteAll(id, 3);
        assertLt(vm.lastCallGas().gasTotalUsed, TRANSACTION_GAS_CAP / 4);
        skip(terms.challengeWindow);
        market.settle(terms);
        emit log_named_uint("gas of the dearest settlement", vm.lastCallGas().gasTotalUsed);
        assertLt(vm.lastCallGas().gasTotalUsed, TRANSACTION_GAS_CAP / 2);
        assertEq(_held(id), 0);
    }

    /* ------------------------------------------------------------------ helpers */

    /// @dev All lanes differ between rounds.
    function _voteAll(bytes32 id, uint32 round) private {
        bytes32 vote;
        for (uint32 lane; lane < 8; ++lane) {
            vote = Votes.withLane(vote, lane, 850_000 + 1000 * round + lane);
        }
        _commitAll(id, vote);
        _revealAll(id, vote);
    }

    function _seatsOfManyOwners(uint160 count) private {
        for (uint160 i; i < count; ++i) {
            _fund(address(0xC0FFEE0000 + i), STAKE);
            vm.prank(address(0xC0FFEE0000 + i));
            market.stake(1, address(0xF00D0000 + i), 0);
        }
        _roll(1);
    }
}
