// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {StdInvariant} from "forge-std/StdInvariant.sol";
import {Test} from "forge-std/Test.sol";
import {IMarketBase} from "../../src/interfaces/IMarketBase.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {IMarketBack} from "../../src/interfaces/IMarketBack.sol";
import {IMarketFront} from "../../src/interfaces/IMarketFront.sol";
import {Handler} from "./Handler.sol";

/// @notice P1.4, P3.1: no unit appears or is lost, and a job settles once, whatever happens in whatever order.
/// @dev One campaign checks all promises after every call, and at its end lets a stranger finish every job.
contract ConservationTest is StdInvariant, Test, IMarketBase {
    Handler private handler;
    IMarket private market;
    ERC20Permit private token;
    uint256 private _done;

    function setUp() public {
        handler = new Handler();
        handler.setUp();
        (market, token) = (handler.marketUnderTest(), handler.tokenUnderTest());
        targetContract(address(handler));
        bytes4[] memory excluded = new bytes4[](2);
        (excluded[0], excluded[1]) = (Handler.setUp.selector, Handler.drive.selector);
        excludeSelector(FuzzSelector(address(handler), excluded));
    }

    function invariant_conservation() public view {
        assertEq(handler.broken(), "", "an event broke a promise");
        assertEq(handler.replays(), 0, "a message was good twice (threats 7, 8)");
        _everyUnitIsFreeLockedOrBurned();
        _jobsHoldWhatCameInAndDidNotGoOut();
        _settledJobsAreFinal();
        _seatsHoldWhatWasStakedAndNotSlashed();
    }

    /// @dev From whatever state the campaign left them in (threats 10, 11; P1.1).
    function afterInvariant() public {
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobs(i);
            if (market.getJob(id).state == State.None) continue; // its `post` was refused
            assertLe(handler.drive(id), handler.MOST_CALLS());
            assertEq(uint8(market.getJob(id).state), uint8(State.Settled));
            assertEq(handler.cameIn(id), handler.wentOut(id), "a job pays out exactly what was put in");
        }
        invariant_conservation();
    }

    function _everyUnitIsFreeLockedOrBurned() private view {
        uint256 free;
        for (uint256 i; i < handler.accountCount(); ++i) {
            free += market.free(handler.accounts(i));
        }
        uint256 given = handler.given(); // nobody's: not in the ledger (threat 22)
        assertEq(token.balanceOf(address(market)), free + _held() + market.burned() + given);
        assertEq(market.burned(), handler.burned());
    }

    function _held() private view returns (uint256 held) {
        for (uint256 i; i < handler.jobCount(); ++i) {
            held += handler.held(handler.jobs(i));
        }
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            held += market.getSeat(seat).stake;
        }
    }

    function _jobsHoldWhatCameInAndDidNotGoOut() private view {
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobs(i);
            assertEq(handler.held(id), handler.cameIn(id) - handler.wentOut(id));
        }
    }

    function _settledJobsAreFinal() private view {
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobs(i);
            JobView memory job = market.getJob(id);
            bool isSettled = job.state == State.Settled;
            assertEq(handler.settlements(id), isSettled ? 1 : 0);
            if (!isSettled) continue;
            assertEq(handler.held(id), 0);
            assertEq(keccak256(abi.encode(job)), handler.atSettlement(id), "a settled job changed");
        }
    }

    function _seatsHoldWhatWasStakedAndNotSlashed() private view {
        uint256 live;
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            Seat memory stored = market.getSeat(seat);
            assertEq(stored.stake, handler.staked(seat));
            if (stored.hot != address(0) && stored.exitingAt == 0) ++live;
        }
        assertEq(market.liveSeats(), live);
    }

    /// @dev The handler must get everywhere, or the invariants above say nothing. The same choices every time.
    function test_handler_reachesEveryStateOutcomeAndPayment() public {
        for (uint256 i; i < 3000; ++i) {
            _actAtRandom(uint256(keccak256(abi.encode(i))));
        }
        invariant_conservation();
        assertGt(_done, 1000, "calls that went through");
        for (uint8 state = uint8(State.Open); state <= uint8(State.Settled); ++state) {
            assertGt(handler.entered(State(state)), 5, vm.toString(state));
        }
        for (uint8 outcome = uint8(Outcome.Measured); outcome <= uint8(Outcome.Void); ++outcome) {
            assertGt(handler.outcomes(Outcome(outcome)), 0, string.concat("outcome ", vm.toString(outcome)));
        }
        for (uint8 purpose; purpose <= uint8(Purpose.Burned); ++purpose) {
            assertGt(handler.payments(Purpose(purpose)), 0, string.concat("purpose ", vm.toString(purpose)));
        }
        for (uint8 round = 1; round <= 3; ++round) {
            assertGt(handler.decided(round), 0, "a round that decided");
        }
        bytes4[4] memory calls = [
            IMarketFront.commitAll.selector,
            IMarketFront.revealAll.selector,
            IMarketFront.conclude.selector,
            IMarketBack.agree.selector
        ];
        for (uint256 i; i < calls.length; ++i) {
            assertGt(handler.relayed(calls[i]), 5, string.concat("relayed ", vm.toString(i)));
        }
        bytes32[12] memory events = [
            Demanded.selector,
            Answered.selector,
            Unanswered.selector,
            Appealed.selector,
            Slashed.selector,
            Reseeded.selector,
            Exiting.selector,
            Unstaked.selector,
            Rotated.selector,
            Artifact.selector,
            LaneSettled.selector,
            Submitted.selector
        ];
        for (uint256 i; i < events.length; ++i) {
            assertGt(handler.seen(events[i]), 0, string.concat("event ", vm.toString(i)));
        }
        afterInvariant();
    }

    /// @dev A revert is an answer too.
    function _actAtRandom(uint256 dice) private {
        (bool isDone,) = address(handler).call(_anyAction(dice % 32, dice >> 16, dice >> 80, dice >> 144));
        if (isDone) ++_done;
    }

    function _anyAction(uint256 kind, uint256 a, uint256 b, uint256 c) private pure returns (bytes memory) {
        if (kind < 2) return abi.encodeCall(Handler.open, (uint96(a), uint16(b), c));
        if (kind < 3) return abi.encodeCall(Handler.post, (uint96(a), uint16(b), c));
        if (kind < 4) return abi.encodeCall(Handler.accept, (a));
        if (kind < 5) return abi.encodeCall(Handler.submit, (a, uint8(b), c % 2 == 0));
        if (kind < 8) return abi.encodeCall(Handler.demand, (a, b, c, c >> 8));
        if (kind < 10) return abi.encodeCall(Handler.answer, (a, b));
        if (kind < 11) return abi.encodeCall(Handler.appeal, (a, b));
        if (kind < 12) return abi.encodeCall(Handler.commit, (a, b, c));
        if (kind < 13) return abi.encodeCall(Handler.reveal, (a, b));
        if (kind < 22) return abi.encodeCall(Handler.advance, (a, b));
        if (kind < 25) return abi.encodeCall(Handler.close, (a));
        if (kind < 26) return abi.encodeCall(Handler.pass, (a, b));
        if (kind < 27) return abi.encodeCall(Handler.exit, (uint32(a)));
        if (kind < 28) return abi.encodeCall(Handler.unstake, (uint32(a), b % 16 == 0));
        if (kind < 29) return abi.encodeCall(Handler.rotate, (uint32(a)));
        if (kind < 30) return abi.encodeCall(Handler.replay, (a, b, c));
        if (kind < 31) return abi.encodeCall(Handler.cancel, (a));
        return _rareAction(c % 8, a, b);
    }

    function _rareAction(uint256 kind, uint256 a, uint256 b) private pure returns (bytes memory) {
        if (kind < 1) return abi.encodeCall(Handler.commitAll, (a, b));
        if (kind < 2) return abi.encodeCall(Handler.revealAll, (a));
        if (kind < 3) return abi.encodeCall(Handler.conclude, (a));
        if (kind < 5) return abi.encodeCall(Handler.agree, (a, b, 0));
        if (kind < 7) return abi.encodeCall(Handler.agreeAtOnce, (uint16(a), a >> 16, b, 0));
        return abi.encodeCall(Handler.give, (a));
    }
}
