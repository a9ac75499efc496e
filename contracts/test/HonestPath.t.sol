// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";

/// @notice One job from post to payout, everybody honest (P3).
contract HonestPathTest is Base {
    function test_honestJob_paysProviderSeatsAndRequesterToTheUnit() public {
        JobTerms memory terms = _terms();
        uint256 requesterBefore = market.free(requester);
        uint256 providerBefore = market.free(providers[0]);

        bytes32 id = _scored(terms, _vote(875_000));
        assertEq(uint8(_state(id)), uint8(State.Scored));
        uint32[] memory seats = market.getRound(id, 1).seats;
        uint256[] memory before = new uint256[](3);
        for (uint256 i; i < 3; ++i) {
            before[i] = market.free(market.getSeat(seats[i]).cold);
        }
        _settle(terms);

        // Half way between floor and target: floorPay plus half of the rest, 75 % of the bid.
        uint256 payout = uint256(PRICE) * 3 / 4;
        assertEq(market.free(providers[0]), providerBefore + payout);
        assertEq(market.free(requester), requesterBefore - payout - 3 * FEE);
        for (uint256 i; i < 3; ++i) {
            assertGe(market.free(market.getSeat(seats[i]).cold), before[i] + FEE);
        }
        assertEq(_held(id), 0);
        assertEq(_locked(), 24 * uint256(STAKE));
        assertEq(uint8(_state(id)), uint8(State.Settled));
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.Measured));
        assertEq(market.getJob(id).result, _vote(875_000));
    }
}
