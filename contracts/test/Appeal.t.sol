// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";

/// @notice P3.6, P5.4: appeals won, lost and void; by requester, provider and seat.
contract AppealTest is Base {
    uint96 private constant BOND_2 = 14e18; // 2 * (2n+1) * f, greater than 10 % of V

    function test_appeal_won_returnsBondOnceOverAndSlashesTheLiars() public {
        JobTerms memory terms = _terms();
        uint256 p = market.free(providers[0]);
        bytes32 id = _scored(terms, _vote(700_000));
        uint32[] memory liars = market.getRound(id, 1).seats;
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        assertEq(market.getRound(id, 2).appealBond, BOND_2);
        assertEq(market.getRound(id, 2).appellant, providers[0]);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertEq(market.free(providers[0]), p + PRICE + BOND_2);
        for (uint256 i; i < 3; ++i) {
            assertEq(market.getSeat(liars[i]).stake, STAKE / 2);
        }
        assertEq(market.liveSeats(), 24, "half of S is enough to stay (P5.5)");
        // Three halves of S: the bond once over, seven fees of round 2, the rest burned.
        assertEq(market.burned(), 3 * uint256(STAKE) / 2 - BOND_2 - 7 * FEE);
    }

    function test_appeal_lostByRequester_paysFeesThenProviders() public {
        JobTerms memory terms = _terms();
        (uint256 r, uint256 p) = (market.free(requester), market.free(providers[0]));
        _lostAppealBy(terms, requester, 0);
        assertEq(market.free(providers[0]), p + PRICE + BOND_2 - 7 * FEE);
        assertEq(market.free(requester), r - PRICE - 3 * FEE - BOND_2);
        assertEq(market.burned(), 0);
    }

    function test_appeal_lostByProvider_paysFeesThenRequester() public {
        JobTerms memory terms = _terms();
        (uint256 r, uint256 p) = (market.free(requester), market.free(providers[0]));
        _lostAppealBy(terms, providers[0], 0);
        assertEq(market.free(providers[0]), p + PRICE - BOND_2);
        assertEq(market.free(requester), r - PRICE - 3 * FEE + BOND_2 - 7 * FEE);
    }

    function test_appeal_lostBySeat_burnsTheRest() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        address hot = _hotAt(id, 1);
        _fund(hot, BOND_2);
        vm.prank(hot);
        market.appeal(_told(id), 1);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
        assertEq(market.free(hot), 0);
        assertEq(market.burned(), BOND_2 - 7 * FEE);
    }

    function test_appeal_voidRounds_previousResultStands_bondBackLessFeesServed() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        uint256 r = market.free(requester);
        vm.prank(requester);
        market.appeal(_told(id), 0);
        for (uint256 i; i < 2; ++i) {
            _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        assertEq(uint8(_state(id)), uint8(State.Scored));
        assertEq(market.getJob(id).result, _vote(950_000));
        assertEq(uint8(market.getJob(id).outcome), uint8(Outcome.None));
        _settle(terms);
        assertEq(market.free(requester), r + 100e18 - 90e18 + 30e18 - 10e18, "whole bond back: nobody served");
    }

    /// @notice P3.6: a provider's bond comes back as well, from the bond and not out of the requester's rest.
    function test_appeal_voidRounds_aProvidersBondIsItsOwn() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        uint256 p = market.free(providers[0]);
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        for (uint256 i; i < 2; ++i) {
            _pin(id);
            skip(terms.commitWindow);
            market.close(id);
        }
        _settle(terms);
        assertEq(market.free(providers[0]), p + PRICE + terms.collateral);
    }

    function test_appeal_twice_lastRoundDecides() public {
        JobTerms memory terms = _terms();
        _moreSeats(8);
        bytes32 id = _scored(terms, _vote(950_000));
        vm.prank(requester);
        market.appeal(_told(id), 0);
        _pin(id);
        _commitAll(id, _vote(700_000));
        _revealAll(id, _vote(700_000));
        uint256 p = market.free(providers[0]);
        vm.prank(providers[0]);
        market.appeal(_told(id), 0);
        uint96 bond3 = 30e18; // 2 * (4n+3) * f
        assertEq(market.getRound(id, 3).appealBond, bond3);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(LastRound.selector, id));
        market.appeal(_told(id), 0);
        _settle(terms);
        // Won: its bond and once over. The requester's appeal is lost in the end: what its fees left is the provider's.
        assertEq(market.free(providers[0]), p + PRICE + terms.collateral + bond3 + BOND_2 - 7 * FEE);
        assertEq(_held(id), 0);
    }

    function test_appeal_bondFollowsValueWhenThatIsMore() public {
        JobTerms memory terms = _terms();
        terms.fee = 0.1e18;
        bytes32 id = _scored(terms, _vote(950_000));
        vm.prank(requester);
        market.appeal(_told(id), 0);
        assertEq(market.getRound(id, 2).appealBond, PRICE / 10);
    }

    function test_appeal_byStranger_orAtDeadline_orTooPoor_reverts() public {
        JobTerms memory terms = _terms();
        bytes32 id = _scored(terms, _vote(950_000));
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(NotParty.selector, stranger, id));
        market.appeal(_told(id), 0);
        address hot = _hotAt(id, 2);
        vm.prank(hot);
        vm.expectRevert(abi.encodeWithSelector(InsufficientFree.selector, hot, 0, BOND_2));
        market.appeal(_told(id), 2);
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        vm.prank(requester);
        vm.expectRevert(abi.encodeWithSelector(TooLate.selector, deadline, deadline));
        market.appeal(_told(id), 0);
    }

    function _lostAppealBy(JobTerms memory terms, address appellant, uint256 place) private {
        bytes32 id = _scored(terms, _vote(950_000));
        vm.prank(appellant);
        market.appeal(_told(id), place);
        _pin(id);
        _commitAll(id, _vote(950_000));
        _revealAll(id, _vote(950_000));
        _settle(terms);
    }
}
