// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {StdInvariant} from "forge-std/StdInvariant.sol";
import {Test} from "forge-std/Test.sol";
import {IMarketBase} from "../../src/interfaces/IMarketBase.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {IMarket} from "../../src/interfaces/IMarket.sol";
import {Handler} from "./Handler.sol";

/// @notice P1.4, P3.1: no unit appears or is lost, and a job settles once, whatever happens in whatever order.
contract ConservationTest is StdInvariant, Test {
    Handler private handler;
    IMarket private market;
    ERC20Permit private token;

    function setUp() public {
        handler = new Handler();
        handler.setUp();
        (market, token) = (handler.marketUnderTest(), handler.tokenUnderTest());
        targetContract(address(handler));
        bytes4[] memory excluded = new bytes4[](1);
        excluded[0] = Handler.setUp.selector;
        excludeSelector(FuzzSelector(address(handler), excluded));
    }

    function invariant_conservation() public view {
        _everyUnitIsFreeLockedOrBurned();
        _settledJobsHoldNothing_andSettledOnce();
        _liveSeatsAreThoseNotExiting();
    }

    function _everyUnitIsFreeLockedOrBurned() private view {
        uint256 free;
        for (uint256 i; i < handler.accountCount(); ++i) {
            free += market.free(handler.accounts(i));
        }
        assertEq(token.balanceOf(address(market)), free + _whatJobsAndSeatsHold() + market.burned());
    }

    function _whatJobsAndSeatsHold() private view returns (uint256 held) {
        for (uint256 i; i < handler.jobCount(); ++i) {
            held += handler.held(handler.jobs(i));
        }
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            held += market.getSeat(seat).stake;
        }
    }

    function _settledJobsHoldNothing_andSettledOnce() private view {
        for (uint256 i; i < handler.jobCount(); ++i) {
            bytes32 id = handler.jobs(i);
            IMarketBase.JobView memory job = market.getJob(id);
            bool isSettled = job.state == IMarketBase.State.Settled;
            assertEq(handler.settlements(id), isSettled ? 1 : 0);
            if (isSettled) assertEq(handler.held(id), 0);
        }
    }

    function _liveSeatsAreThoseNotExiting() private view {
        uint256 live;
        for (uint32 seat; seat < market.seatCount(); ++seat) {
            IMarketBase.Seat memory stored = market.getSeat(seat);
            if (stored.hot != address(0) && stored.exitingAt == 0) ++live;
        }
        assertEq(market.liveSeats(), live);
    }

    /// @dev The handler must get somewhere, or the invariants above say nothing.
    function test_handler_canFinishAJob() public {
        handler.open(90e18, 100, 1e18);
        handler.submit(0, 0, false);
        handler.submit(0, 1, false);
        handler.pass(4, 1);
        handler.commitAll(0, 0);
        handler.revealAll(0);
        handler.settle(0);
        assertEq(handler.settlements(handler.jobs(0)), 1);
        invariant_conservation();
    }
}
