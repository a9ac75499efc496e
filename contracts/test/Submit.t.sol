// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Base} from "./Base.t.sol";

/// @notice P3, P4.4: one word per lane, once, in time.
contract SubmitTest is Base {
    function test_submit_lastLane_startsRoundOne() public {
        JobTerms memory terms = _termsOf(2);
        bytes32 id = _accept(terms);
        _submit(id, 1, WORD);
        assertEq(uint8(_state(id)), uint8(State.Running));
        _submit(id, 0, keccak256("another word"));
        JobView memory job = market.getJob(id);
        assertEq(uint8(job.state), uint8(State.Committing));
        assertEq(job.round, 1);
        assertEq(job.submitted, 3);
        assertEq(job.seedBlock, vm.getBlockNumber() + 2);
        assertEq(job.deadline, vm.getBlockTimestamp() + terms.commitWindow);
        (,, bytes32 word) = market.getLane(id, 1);
        assertEq(word, WORD);
    }

    function test_submit_byOthers_reverts() public {
        bytes32 id = _accept(_termsOf(2));
        vm.prank(providers[1]);
        vm.expectRevert(abi.encodeWithSelector(NotProvider.selector, providers[1], 0));
        market.submit(id, 0, WORD);
        vm.prank(providers[1]);
        vm.expectRevert(abi.encodeWithSelector(NotProvider.selector, providers[1], 2));
        market.submit(id, 2, WORD);
    }

    function test_submit_twice_orNothing_reverts() public {
        bytes32 id = _accept(_termsOf(2));
        vm.expectRevert(ZeroWord.selector);
        _submit(id, 0, 0);
        _submit(id, 0, WORD);
        vm.expectRevert(abi.encodeWithSelector(AlreadySubmitted.selector, id, 0));
        _submit(id, 0, WORD);
    }

    function test_submit_atTheDeadline_reverts() public {
        bytes32 id = _accept(_terms());
        uint256 deadline = market.getJob(id).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(TooLate.selector, deadline, deadline));
        _submit(id, 0, WORD);
        vm.warp(deadline - 1);
        _submit(id, 0, WORD);
        vm.expectRevert(abi.encodeWithSelector(WrongState.selector, id, State.Committing));
        _submit(id, 0, WORD);
    }
}
