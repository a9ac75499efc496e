// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Attack} from "./Attack.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Votes} from "../../src/libraries/Votes.sol";

/// @notice Threats 16, 17, 18, 20, 22 and 23: numbers too great, too many, too small, too late, unasked for, indivisible.
contract LimitsTest is Attack {
    /// @notice Threat 16, P3.1: a vote that is neither score nor code can be committed, never revealed, and costs 8f.
    /// forge-config: default.fuzz.runs = 128
    /// forge-config: ci.fuzz.runs = 1000
    function testFuzz_threat16_voteOutOfRange_costs8f(uint32 value) public {
        value = uint32(bound(value, uint256(Votes.NO_DATA) + 1, type(uint32).max));
        JobTerms memory terms = _terms();
        bytes32 id = _drawn(terms);
        _commit(id, 0, _vote(value));
        _commit(id, 1, _vote(900_000));
        _commit(id, 2, _vote(900_000));
        vm.expectRevert(abi.encodeWithSelector(VoteOutOfRange.selector, 0, value));
        _reveal(id, 0, _vote(value));
        _reveal(id, 1, _vote(900_000));
        _reveal(id, 2, _vote(900_000));
        skip(terms.revealWindow);
        market.close(id);
        uint32 wild = _seat(id, 0);
        _settle(terms);
        _cost("a vote out of range", STAKE, _stakeOf(wild));
        assertEq(STAKE - _stakeOf(wild), 8 * FEE);
    }

    /// @notice Threat 16: arrays longer than the terms say are refused before anything is read of them.
    function test_threat16_hugeArrays_areRefused() public {
        JobTerms memory terms = _terms();
        _post(terms);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(WrongBidCount.selector, 2000, 1));
        market.accept(terms, new Bid[](2000), new bytes[](2000));
        terms.parents = new Parent[](500);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(TermOutOfRange.selector, bytes32("parents"), 500, 0, 4));
        market.post(terms);
        _costOfGasAlone("huge arrays");
    }

    /// @notice Threat 17, P3.4: a thousand bids cancelled, announced and refused cost a job's settlement nothing.
    /// forge-config: default.isolate = true
    function test_threat17_settlementGas_isFlatInTheNumberOfBids() public {
        _settledJob("first: no ledger slot is fresh");
        uint256 alone = _settledJob("alone");
        for (uint256 i; i < 1000; ++i) {
            vm.startPrank(address(uint160(0xB1D000 + i)));
            market.cancelBid(i);
            market.announce(abi.encode("bid", i));
            vm.stopPrank();
        }
        uint256 crowded = _settledJob("crowded");
        emit log_named_uint("gas of settle without other bids", alone);
        emit log_named_uint("gas of settle beside a thousand", crowded);
        assertApproxEqAbs(crowded, alone, 100, "not a slot, only a byte of calldata here or there");
    }

    /// @notice Threat 18, P2.2: the smallest job the rules allow still binds a fee for each seat, and a provider's collateral.
    function test_threat18_dustJob_stillCostsFeesAndCollateral() public {
        JobTerms memory terms = _terms();
        (terms.priceCap, terms.fee, terms.bond) = (0, 0.01e18, 0);
        terms.collateral = 0.03e18 - 1;
        vm.prank(requester);
        vm.expectRevert();
        market.post(terms);
        terms.collateral = 0.03e18;
        uint256 before = market.free(requester) + market.free(providers[0]);
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, 0);
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        assertEq(before - market.free(requester) - market.free(providers[0]), 0.06e18);
        _submit(id, 0, WORD);
        _pin(id);
        _commitAll(id, _vote(900_000));
        _revealAll(id, _vote(900_000));
        _settle(terms);
        // Requester and provider in one: what it paid is what the seats earned.
        _cost("a dust job", before, market.free(requester) + market.free(providers[0]));
        assertEq(before - market.free(requester) - market.free(providers[0]), 0.03e18);
    }

    /// @notice Threat 20, P3.1: at any second of any stage either its actor may act or anybody may move on, never both,
    /// never neither.
    /// forge-config: default.fuzz.runs = 128
    /// forge-config: ci.fuzz.runs = 1000
    function testFuzz_threat20_atEverySecond_eitherActorOrMover(uint16 offset, uint8 stage) public {
        JobTerms memory terms = _terms();
        (bytes32 id, address actor, bytes memory act, bytes memory move) = _stage(terms, stage % 5);
        uint256 deadline = market.getJob(id).deadline;
        uint256 time = bound(offset, deadline - 15, deadline + 15);
        vm.warp(time);
        uint256 snapshot = vm.snapshotState();
        bool mayAct = _tries(actor, act);
        vm.revertToState(snapshot);
        bool mayMove = _tries(stranger, move);
        assertEq(mayAct, time < deadline, "actors need t < deadline");
        assertEq(mayMove, time >= deadline, "moves need t >= deadline");
    }

    /// @notice Threat 22, P1.4: coins and tokens forced upon the market are nobody's, and change nothing.
    function test_threat22_moneySentDirectly_isNobodys() public {
        JobTerms memory terms = _terms();
        uint256 ledger = market.free(requester) + _locked();
        _scored(terms, _vote(950_000));
        vm.startPrank(stranger);
        vm.deal(stranger, 1 ether);
        (bool isTaken,) = address(market).call{value: 1}("");
        assertFalse(isTaken, "no function takes the chain's own coin");
        new Forced{value: 1 ether}(payable(address(market)));
        vm.stopPrank();
        assertEq(address(market).balance, 1 ether);
        token.transfer(address(market), 55e18);
        _settle(terms);
        assertEq(market.free(requester) + market.free(providers[0]) + _locked() + 3 * FEE, ledger + 10_000e18);
        assertFalse(_tries(stranger, abi.encodeCall(market.withdraw, (stranger, 1))));
        emit log_named_decimal_uint("cost of forcing money on the market", 1 ether + 55e18, 18);
    }

    /// @notice Threat 23, P1.4: prices and parts without a common measure; every unit is somewhere, the dust is the requester's.
    /// forge-config: default.fuzz.runs = 128
    /// forge-config: ci.fuzz.runs = 1000
    function testFuzz_threat23_dustIsTheRequesters(uint96 price, uint16[4] memory bps, uint32[3] memory scores) public {
        JobTerms memory terms = _termsOf(3);
        terms.parents = new Parent[](4);
        uint256 sum;
        for (uint160 i; i < 4; ++i) {
            terms.parents[i] = Parent(WORD, address(0xBEEF00 + i), uint16(bound(bps[i], 0, 2000 - sum)));
            sum += terms.parents[i].bps;
        }
        bytes32 id = _post(terms);
        (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 3, uint96(bound(price, 1, terms.priceCap)));
        vm.prank(requester);
        market.accept(terms, bids, signatures);
        bytes32 vote;
        for (uint8 lane; lane < 3; ++lane) {
            _submit(id, lane, WORD);
            vote = Votes.withLane(vote, lane, uint32(bound(scores[lane], 700_000, 1_000_000)));
        }
        _pin(id);
        _commitAll(id, vote);
        _revealAll(id, vote);
        _settle(terms);
        assertEq(_locked(), 24 * uint256(STAKE));
        uint256 free = market.free(requester);
        for (uint160 i; i < 8; ++i) {
            free += market.free(providers[i]) + market.free(_owner(i)) + market.free(address(0xBEEF00 + i));
        }
        assertEq(token.balanceOf(address(market)), free + _locked() + market.burned());
        assertEq(market.burned(), 0);
    }

    /* ------------------------------------------------------------------------- helpers */

    /// @dev Gas of settling a plain job.
    function _settledJob(bytes32 salt) private returns (uint256) {
        JobTerms memory terms = _terms();
        terms.salt = salt;
        _scored(terms, _vote(900_000));
        _settle(terms);
        return vm.lastCallGas().gasTotalUsed;
    }

    /// @dev A job in a stage; who may act in it and how; how anybody moves it on.
    function _stage(JobTerms memory terms, uint8 stage)
        private
        returns (bytes32 id, address actor, bytes memory act, bytes memory move)
    {
        if (stage == 0) {
            id = _post(terms);
            (Bid[] memory bids, bytes[] memory signatures) = _offers(id, 1, PRICE);
            act = abi.encodeCall(market.accept, (terms, bids, signatures));
            return (id, requester, act, abi.encodeCall(market.expire, (_told(id))));
        }
        move = abi.encodeCall(market.close, (id = market.hashTerms(terms)));
        if (stage == 1) return (_accept(terms), providers[0], abi.encodeCall(market.submit, (id, 0, WORD)), move);
        _drawn(terms);
        if (stage == 2) return (id, _hotAt(id, 0), abi.encodeCall(market.commit, (id, 0, WORD)), move);
        _commitAll(id, _vote(950_000));
        if (stage == 3) {
            act = _revealOf(id, 0, _vote(950_000));
            return (id, stranger, act, move);
        }
        _revealAll(id, _vote(950_000));
        return (id, requester, abi.encodeCall(market.appeal, (_told(id), 0)), abi.encodeCall(market.settle, (terms)));
    }
}

/// @notice Leaves its coin to an address that takes none.
contract Forced {
    constructor(address payable to) payable {
        selfdestruct(to);
    }
}
